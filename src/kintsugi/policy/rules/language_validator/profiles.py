"""What tells languages apart: scripts, letters, endings and the small words that every text has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Scripts that stand for one language here. Several languages share some of them; the page says so.
SCRIPT_LANGUAGES: Mapping[str, str] = MappingProxyType(
    {
        "el": r"\u0370-\u03ff\u1f00-\u1fff",
        "he": r"\u0590-\u05ff",
        "bn": r"\u0980-\u09ff",
        "pa": r"\u0a00-\u0a7f",
        "gu": r"\u0a80-\u0aff",
        "ta": r"\u0b80-\u0bff",
        "te": r"\u0c00-\u0c7f",
        "kn": r"\u0c80-\u0cff",
        "ml": r"\u0d00-\u0d7f",
        "si": r"\u0d80-\u0dff",
        "th": r"\u0e00-\u0e7f",
        "lo": r"\u0e80-\u0eff",
        "my": r"\u1000-\u109f",
        "ka": r"\u10a0-\u10ff",
        "am": r"\u1200-\u137f",
        "km": r"\u1780-\u17ff",
        "hy": r"\u0530-\u058f",
        "ko": r"\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
        "ja": r"\u3040-\u30ff",  # with any kana, Han characters are Japanese too
        "zh": r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
    }
)
# Scripts in which words have to decide.
LATIN = r"A-Za-z\u00aa-\u024f\u1e00-\u1eff"
CYRILLIC = r"\u0400-\u052f"
ARABIC = r"\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff"
DEVANAGARI = r"\u0900-\u097f"
SHARED_SCRIPTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        LATIN: _words(
            "en de fr es it pt nl sv da no fi pl cs sk hu ro tr id vi hr ca et lv lt sl af sw tl"
        ),
        CYRILLIC: ("ru", "uk", "bg", "sr"),
        ARABIC: ("ar", "fa", "ur"),
        DEVANAGARI: ("hi", "mr", "ne"),
    }
)


FUNCTION_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "en": _words(
            "the of and to in is that it for was on are as with his they at be this from have or "
            "by not but what all were when we there can an your which their said if will each "
            "about how up out them then she many some so these would other into has more her like "
            "him could do does did my been who its now than you he i should because where please "
            "any"
        ),
        "de": _words(
            "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als "
            "auch es an werden aus er hat dass sie nach wird bei einer um am sind noch wie einem "
            "über einen so zum war haben nur oder aber vor zur bis mehr durch man sein wurde wenn "
            "können ich wir ihr was kann keine schon mir mich uns bitte heute sehr hier dann "
            "unter gegen"
        ),
        "fr": _words(
            "le la les de des et à un une du en est que qui dans pour pas sur au plus par je il "
            "ne se ce avec son sa ses mais ou nous vous ils elle on été sont comme tout cette "
            "fait être leur aux même y a ai très bien sans peut si aussi deux où quand mon votre "
            "notre dit c'est d'un d'une qu'il n'est l'on j'ai leurs ces avoir faire"
        ),
        "es": _words(
            "el la de que y en un los del se las por con no una su para es al lo como más pero "
            "sus le ya o este sí porque esta entre cuando muy sin sobre también me hasta hay "
            "donde quien desde todo nos durante todos uno les ni contra otros ese eso ante ellos "
            "esto mí antes algunos qué unos yo otro otras otra él tanto esa estos mucho fue son "
            "está ha puede"
        ),
        "it": _words(
            "il di che e la in un a per è una sono non con si del da come le dei al nel alla più "
            "anche i lo gli ma della delle ha questo se mi ci o ne io tutto era cosa molto solo "
            "ancora essere quando lui lei noi loro sua suo suoi perché quello questa dopo senza "
            "tra fra dalla nella sulla degli agli sul hanno abbiamo può fatto dove"
        ),
        "pt": _words(
            "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi "
            "ao ele das tem à seu sua ou ser quando muito há nos já está eu também só pelo pela "
            "até isso ela entre era depois sem mesmo aos ter seus quem nas me esse eles estão "
            "você tinha foram essa num nem suas meu às minha têm numa pelos elas havia são fazer "
            "pode"
        ),
        "nl": _words(
            "de van het een en in is dat op te zijn met voor niet aan er om had bij ook maar als "
            "dan hij naar uit door over ze zich hun dit nog wordt kan tot heeft of worden we zo "
            "geen wat deze ik je mijn u jullie was waren meer moet wel hebben werd haar die want "
            "omdat onze nu veel heel mij jij gaat goed"
        ),
        "sv": _words(
            "och i att det som en på är av för med den till inte har de om ett han men var jag "
            "sig från vi så kan när år under också efter eller nu sin där vid mot ska skulle "
            "kommer ut får finns vara hade alla andra mycket än här då sedan över bara in blir "
            "upp även vad få två vill ha många hur mer går"
        ),
        "da": _words(
            "og i at det er en til af på som med for den de ikke har var jeg han der et om men "
            "sig fra vi så kan når år efter eller nu sin hvor ved mod skal skulle kommer ud får "
            "være havde alle andre meget end her da siden over kun ind bliver op også hvad to vil "
            "mange hvordan mere går blev os dem nogle"
        ),
        "no": _words(
            "og i det er på til en å som for med at av ikke den har de var et jeg han fra men seg "
            "vi så kan når år etter eller nå sin hvor ved mot skal skulle kommer ut får være "
            "hadde alle andre mye enn her da siden over bare inn blir opp også hva to vil mange "
            "hvordan mer går ble oss dem noen om du meg sammen veldig"
        ),
        "fi": _words(
            "ja on ei se että hän oli mutta kuin niin myös joka ovat olla tai jos kun mitä minä "
            "sinä me te he tämä sen nyt vain jo sitä siitä ole olen olisi ollut voi vielä hyvin "
            "kanssa sekä mukaan jälkeen ennen kaikki mukana koska missä miten paljon sitten tässä "
            "siellä vuonna eivät olivat en emme hänen"
        ),
        "pl": _words(
            "i w nie na się z do to że jest jak a po co ale o tak za od jego przez był czy już "
            "tylko są dla ich być jej może go lub oraz które który która ten ta tego tym jako "
            "bardzo przy pod więc ma mnie mi ja ty my wszystko gdy kiedy gdzie jeszcze było była "
            "były został pan dziś można tej"
        ),
        "cs": _words(
            "a se v na je že to s z do o i jako za by ale k pro si ve které po tak jsou jsem "
            "který od nebo být bylo podle už jen co při byl byla až aby jeho než když jak tento "
            "také může mezi má není bude jejich jsme která pokud ještě velmi všechny kde tedy "
            "proto protože této však či mi mě"
        ),
        "sk": _words(
            "a sa v na je že to s z do o aj ako za by ale k pre si vo ktoré po tak sú som ktorý "
            "od alebo byť bolo podľa už len čo pri bol bola až aby jeho než keď tento tiež môže "
            "medzi má nie bude ich sme ktorá ešte veľmi všetky kde teda preto pretože tejto však "
            "či mi ma zo ani toto"
        ),
        "hu": _words(
            "a az és hogy nem is egy ez van volt meg de csak mint már el ki azt még vagy ha be "
            "mert kell fel lehet le nagyon itt minden most úgy én te ő mi ti ők ezt neki ami aki "
            "amely után szerint között pedig lesz nincs így majd akkor sem vagyok voltak ezek "
            "olyan valamint alatt jó"
        ),
        "ro": _words(
            "de și în a la cu pe nu că o un se din este care mai ce au fost pentru sau lui dar ca "
            "am prin după sunt ale cel al ei îi fi până să le era când cum foarte fără între "
            "acest această aceasta acesta toate doar unde dacă poate avea ar vor va fie noi voi "
            "eu tu el ea ne vă lor sale"
        ),
        "tr": _words(
            "ve bir bu da de için ile o çok daha gibi ne olarak var ama ben en kadar değil olan "
            "her sonra mi mı ya ki sen biz siz onlar şey oldu olduğu ise hem diye yok nasıl neden "
            "şu bana sana onun benim göre tarafından ancak veya önce iki olduğunu etmek etti "
            "ediyor lütfen böyle şimdi bunu"
        ),
        "id": _words(
            "yang dan di ini itu dengan untuk dari tidak dalam pada adalah akan ke saya anda kami "
            "kita mereka dia ada bisa atau juga sudah oleh karena telah sebagai lebih jika "
            "seperti hanya banyak dapat apa belum harus agar tetapi sangat bahwa kepada antara "
            "setelah secara masih bukan para saat tersebut sebuah orang nya hari"
        ),
        "vi": _words(
            "và của là có không được cho một trong người các những với đã này khi đến từ ở tôi "
            "bạn cũng như để làm ra thì sẽ về rất nhiều nhưng đó lại còn phải nếu chúng anh chị "
            "em ông bà nó họ ta vào theo hay trên dưới sau trước bị năm ngày việc mà nên hơn"
        ),
        "hr": _words(
            "i je u na se da su za od s koji to a o kao bi ne sam iz nije koja bio te koje ili "
            "ali do po će samo još kako što jer tako biti može prema bila ima kod više sve već "
            "gdje kada nakon zbog njegov njih ovo ova ovaj mi vi oni smo ste dobro vrlo između "
            "također bilo"
        ),
        "ca": _words(
            "de la i el que a en els les un una per amb no és del al es va ha als com més però o "
            "seva són aquest aquesta també seu si perquè quan molt ja on hi ho entre fins tot "
            "sense sobre després dels pel han ser fer pot tots ara jo nosaltres vostè d'un l'any "
            "això"
        ),
        "et": _words(
            "ja on ei see et oli ta kui aga ka mis ning ma sa me te nad või oma selle olid seda "
            "kes mida veel siis nii nagu siin seal väga kas võib oleks olla pole kõik juba ainult "
            "pärast enne kus miks sest üks kaks eest saab tema mina sina meie tuleb"
        ),
        "lv": _words(
            "un ir ar no par uz ka tas kas bija nav vai arī to viņš viņa es tu mēs jūs viņi bet "
            "kā pēc lai šis šī ļoti tikai jau vēl pie līdz gan būt tika kad kur jo savu visi šo "
            "tiek gada starp bez tāpēc varētu var"
        ),
        "lt": _words(
            "ir yra kad su iš į tai bet ar kaip buvo jis ji aš tu mes jūs jie už po nuo apie tik "
            "jau dar ne nėra labai gali būti kuris kuri savo prie iki per kai kur arba taip pat "
            "dėl tačiau metų visi šis ši mano jo jos jų bus reikia"
        ),
        "sl": _words(
            "in je v na se da so za od s z ki to a o kot bi ne sem iz ni pa ali do po bo samo še "
            "kako kaj ker tako biti lahko pri bila ima več vse že kjer ko zaradi njegov njih ta "
            "tega mi vi oni smo ste zelo med tudi bilo jih ga jo bil"
        ),
        "af": _words(
            "die en van in is dat het nie te vir met op sy hy as aan wat om ook was sal by word "
            "kan maar ons hulle ek jy u haar na uit deur oor nog meer moet baie hier daar toe wie "
            "waar omdat net so geen dit 'n hom my jou gaan"
        ),
        "sw": _words(
            "na ya wa kwa ni za katika la kuwa hii hiyo ambayo yake cha si pia lakini huu hilo "
            "mimi wewe yeye sisi ninyi wao kama au sana kila watu mtu baada kabla hadi bila yetu "
            "yako yangu wake wetu hapa sasa kwamba ili hata tu alikuwa walikuwa kutoka"
        ),
        "tl": _words(
            "ang ng sa na mga ay at si ni para hindi ito kung may ako ikaw siya kami tayo kayo "
            "sila niya ko mo nila namin natin din rin lang pa po ba kaya dahil pero o isang nang "
            "kanyang mula hanggang lahat ano sino saan paano kapag maging"
        ),
        "ru": _words(
            "и в не на я что он с как это по но они мы она так его за был от то же вы из у ты для "
            "до или если бы было уже только ее ещё еще о может когда чтобы при быть была были "
            "есть к во со этот этого эта который которые которая после очень нет да их все всё "
            "там где ли мне меня вас нас можно нужно"
        ),
        "uk": _words(
            "і в не на я що він з як це по але вони ми вона так його за був від то же ви із у ти "
            "для до або якщо б було вже тільки її ще про може коли щоб при бути була були є к та "
            "й цей цього ця який які яка після дуже немає їх все там де чи мені мене вас нас "
            "можна треба потрібно також"
        ),
        "bg": _words(
            "и в не на аз че той с като това по но те ние тя така го за беше от то вие из у ти до "
            "или ако би бе вече само й още може когато да при съм е са ще се си този тази които "
            "който която след много няма им всички там къде ли ми мен вас нас трябва също"
        ),
        "sr": _words(
            "и је у на се да су за од с који то а о као би не сам из није која био те које или "
            "али до по ће само још како што јер тако бити може према била има код више све већ "
            "где када после због његов њих ово ова овај ми ви они смо сте добро врло између "
            "такође било"
        ),
        "ar": _words(
            "في من على إلى أن هذا هذه التي الذي عن مع كان لا ما هو هي أو كل قد بعد قبل بين ذلك لم "
            "لن كما حتى إذا ثم أنا نحن هم أنت عند غير منذ كانت يكون تكون حيث أي ليس لكن فقط جدا "
            "يجب يمكن هناك عليه فيه لها له بها به"
        ),
        "fa": _words(
            "و در به از که این را با است برای آن یک بود شد می خود تا بر هم نیز اما یا ما من شما "
            "او آنها هر دو ای کرد شده باید کند شود های اگر چه بین پس همه بسیار دارد نمی "
            "هستند کنید چون فقط هنوز وقتی"
        ),
        "ur": _words(
            "کے میں کی ہے اور سے کا کو اس نے پر یہ کہ ہیں بھی ایک تھا نہیں وہ ہو کر گیا تھی جو ہم "
            "آپ ان تو تک لیے ساتھ بعد کیا گی گا رہا رہے ہوئے تھے اپنے کوئی پھر جب اگر لیکن یا دیا"
        ),
        "hi": _words(
            "के में की है और से का को इस ने पर यह कि हैं भी एक था नहीं वह हो कर गया थी जो हम आप "
            "उन तो तक लिए साथ बाद क्या गी गा रहा रहे हुए थे अपने कोई फिर जब अगर लेकिन या दिया मैं "
            "मुझे होता"
        ),
        "mr": _words(
            "आणि आहे या आहेत ते हे तो ती मी तुम्ही आम्ही त्या त्यांच्या की पण नाही होते होता होती "
            "केले साठी मध्ये वर करून एक काय असे त्याच्या आपण झाले करण्यात येते हा ही का असून "
            "म्हणून खूप"
        ),
        "ne": _words(
            "र छ को मा का लाई हो यो त्यो छन् गर्न भएको पनि ले बाट तर म हामी तपाईं उनी उनले गरेको "
            "भन्ने एक लागि हुन् थियो गरेका छैन के कसरी धेरै अब अनि भने साथ यस त्यस हुने गर्ने"
        ),
    }
)

# Letters that only some languages write.
LETTERS: Mapping[str, str] = MappingProxyType(
    {
        "de": "ßäöü",
        "fr": "çœèêëîïûùâ",
        "es": "ñ¿¡áíóú",
        "it": "òàèìù",
        "pt": "ãõçâêôáéí",
        "sv": "åäö",
        "da": "æøå",
        "no": "æøå",
        "fi": "äö",
        "pl": "ąćęłńśźż",
        "cs": "ěřůčšžýáíé",
        "sk": "ľĺŕôäčšžťďňáíé",
        "hu": "őűáéíóöüú",
        "ro": "ăâîșțşţ",
        "tr": "ğışçöüİ",
        "vi": "ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ",
        "hr": "čćđšž",
        "ca": "çàèéíòóúï·",
        "et": "õäöü",
        "lv": "āčēģīķļņšūž",
        "lt": "ąčęėįšųūž",
        "sl": "čšž",
        "uk": "іїєґ",
        "ru": "ыэёъ",
        "bg": "ъщ",
        "sr": "ђјљњћџ",
        "fa": "پچژگکی",
        "ur": "ٹڈڑںےھہ",
        "ar": "ةىأإؤئيك",
        "mr": "ळ",
    }
)

# Endings of words of four letters and more.
ENDINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "en": _words("ing tion ight ould ness ment ally able ough ious"),
        "de": _words("ung lich keit heit isch chen icht tet schaft ungen"),
        "fr": _words("tion ment eux euse ique aire oir ais ait ées ère eau"),
        "es": _words("ción dad iones ando iendo mente ados idas able aje"),
        "it": _words("zione zioni mente ità are ere ato ata ggio endo ella"),
        "pt": _words("ção ções mente dade ando endo agem inho ável eiro"),
        "nl": _words("heid ijk lijk ing aar ijn oord eren tje isch"),
        "sv": _words("ning het lig igt arna erna ande ades skap"),
        "da": _words("ning hed lig erne ende ede skab else"),
        "no": _words("ning het lig ene ende ete skap else"),
        "fi": _words("ssa ssä lla llä sta stä ista inen nut nyt vat taan mme tta ttä"),
        "pl": _words("ość ości owy owa ych ego emu ami ach cie ać ił ała"),
        "cs": _words("ost osti ého ému ých ími ání ení ský ová ovat"),
        "sk": _words("osť osti ého ému ých ími anie enie ský ová ovať"),
        "hu": _words("ban ben nak nek ság ség ról ről tól től hoz hez val vel ünk"),
        "ro": _words("ului ilor ție ții are ească esc ele iile ăm"),
        "tr": _words("lar ler ında inde dan den mak mek yor miş mış sı nın nin"),
        "id": _words("kan nya lah an pun ilah"),
        "hr": _words("ost osti nje ski ima ama iti ati oga"),
        "ca": _words("ció ment tat ana ats ques enç"),
        "et": _words("use dest sid ses sse lik mine takse"),
        "lv": _words("šana iem ība ības ās ēja"),
        "lt": _words("imas imo ųjų tis iai uose ams"),
        "sl": _words("ost osti nje ski ega imi ati iti"),
        "af": _words("heid lik ing asie eer"),
        "sw": _words("isha ika ana wa ni"),
        "ru": _words("ость ного ться ение ания ить ать ский ами ого ые"),
        "uk": _words("ість ного ться ення ання ити ати ський ами ого і ою"),
        "bg": _words("ият ата ите ост ение ски ване"),
        "sr": _words("ост ски ање ење ити ати има ама"),
    }
)

LANGUAGES = frozenset(SCRIPT_LANGUAGES) | frozenset(FUNCTION_WORDS)
# Vowel signs of Devanagari are no letters to Python.
WORD = re.compile(r"[\u0900-\u0963\u0971-\u097f]+|[^\W\d_]+(?:'[^\W\d_]+)?")

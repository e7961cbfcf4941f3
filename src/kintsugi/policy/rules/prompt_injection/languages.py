"""The same attacks in other languages than English.

Each language gives the words for dropping, for rules, for telling and for the hidden prompt; the
patterns are made from them. Words are stems where the language inflects.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kintsugi.policy.rules.prompt_injection.signals import Signal


class Language(NamedTuple):
    """Words of one language, as alternatives of a regular expression.

    Attributes:
        drop: to ignore, forget, disregard; as commands.
        rules: what is to be dropped.
        tell: to show, reveal, repeat; as commands.
        prompt: the hidden prompt.
        unbound: what an assistant without limits is called, or modes that have none.
        order: ``vo`` where verbs come before what they act on, ``ov`` after; ``any`` for both.
        spaced: whether words are separated by spaces.
    """

    code: str
    drop: str
    rules: str
    tell: str
    prompt: str
    unbound: str
    order: str = "vo"
    spaced: bool = True


LANGUAGES = (
    Language(
        "de",
        r"ignorier\w{0,3}|vergiss|vergesst|vergessen sie|missachte\w{0,2}|missachtet|überschreib\w{0,2}"
        r"|umgeh\w{0,2}|verwirf|verwerfe|setz\w{0,2} dich über|beachte nicht|befolge nicht|halte dich nicht"
        r"|lass\w{0,2}|hör\w{0,2} auf",
        r"anweisung\w{0,2}|instruktion\w{0,2}|regel\w?|vorgabe\w?|richtlinie\w?|befehl\w?|anordnung\w{0,2}"
        r"|systemprompt\w?|system-prompt|einschränkung\w{0,2}|beschränkung\w{0,2}|sicherheitsrichtlinie\w?"
        r"|alles,? was dir|was dir (?:vorher|zuvor|bisher)|entwicklernachricht\w{0,2}",
        r"zeig\w{0,2}|gib|nenn\w{0,2}|verrat\w{0,2}|wiederhol\w{0,2}|druck\w{0,2}|offenbar\w{0,2}|schreib\w{0,2}|sag\w{0,2}",
        r"system-?prompt\w?|system-?anweisung\w{0,2}|versteckt\w{0,2} (?:anweisung\w{0,2}|regeln|konfiguration)"
        r"|deine (?:anfänglichen |ursprünglichen |geheimen |internen )?(?:anweisungen|instruktionen|regeln)|entwickleranweisung\w{0,2}",
        r"(?:ohne|keine) (?:einschränkung\w{0,2}|beschränkung\w{0,2}|regeln|filter|zensur)|uneingeschränkt\w{0,2}|unzensiert\w{0,2}"
        r"|(?:entwickler|wartungs|debug|admin|gott)-?modus",
        order="any",
    ),
    Language(
        "es",
        r"ignor(?:a|e|ad|en|ar)|olvida(?:d|r|te)?|olvide|haz caso omiso|hagas caso|no sigas|no obedezcas|deja de (?:seguir|obedecer)"
        r"|descarta|omite|anula|pasa por alto|sáltate|desobedece|no tengas en cuenta|elude|sobrescribe",
        r"instrucci[oó]n(?:es)?|indicaci[oó]n(?:es)?|reglas?|normas?|directrices|órdenes|ordenes|restricciones|limitaciones|políticas?"
        r"|mensaje del (?:sistema|desarrollador)|prompt|todo lo (?:anterior|que te)|lo que te (?:dijeron|han dicho)",
        r"muestra\w{0,4}|muéstrame|revela\w{0,3}|revélame|dime|imprime|repite|enséñame|escribe|dame|copia",
        r"(?:prompt|mensaje|instrucciones)(?: \w{1,10}){0,3} (?:del sistema|de sistema|ocult[oa]s?|inicial(?:es)?|originales|secret[oa]s?)"
        r"|tus (?:instrucciones|reglas|directrices)|prompt (?:del|de) sistema|configuración (?:oculta|secreta|interna)",
        r"sin (?:ningun[ao] )?(?:restricci[oó]n(?:es)?|l[ií]mites?|filtros?|censura|reglas|limitaciones)|modo (?:desarrollador|depuración|dios|administrador|sin restricciones)",
    ),
    Language(
        "fr",
        r"ignor(?:e|ez|er)|oubli(?:e|ez|er)|ne (?:tiens|tenez) (?:pas|plus) compte|ne (?:suis|suivez|respecte|respectez) (?:pas|plus)"
        r"|n.ob[ée]i(?:s|ssez) (?:pas|plus)|fai(?:s|tes) abstraction|contourne[rz]?|outrepasse[rz]?|[ée]carte[rz]?|laisse[rz]? tomber|cesse[rz]? de suivre|d[ée]sob[ée]i\w{0,5}",
        r"instructions?|consignes?|r[èe]gles?|directives?|ordres|restrictions|limitations|politiques?|prompt|message (?:du|de) (?:syst[èe]me|d[ée]veloppeur)"
        r"|tout ce (?:qui pr[ée]c[èe]de|qu.on)|ce qu.on t.a dit",
        r"montre\w{0,3}|affiche[rz]?|r[ée]v[èe]le[rz]?|r[ée]v[ée]ler|donne\w{0,3}|r[ée]p[èe]te[rz]?|imprime[rz]?|[ée]cris|dis|divulgue[rz]?|recopie[rz]?",
        r"prompt(?: \w{1,8}){0,2} (?:syst[èe]me|initial|cach[ée])|prompt syst[èe]me|instructions (?:syst[èe]me|initiales|cach[ée]es|secr[èe]tes|internes|du syst[èe]me)"
        r"|(?:tes|vos) (?:instructions|consignes|r[èe]gles)|message syst[èe]me|configuration (?:cach[ée]e|secr[èe]te)",
        r"sans (?:aucune? )?(?:restrictions?|limites?|filtres?|censure|r[èe]gles)|mode (?:d[ée]veloppeur|d[ée]bogage|debug|dieu|administrateur|maintenance)",
    ),
    Language(
        "it",
        r"ignora(?:re|te)?|dimentica(?:re|te|ti)?|non (?:seguire|rispettare|considerare|tenere conto)|trascura|scavalca|aggira|elimina|annulla|scarta|smetti di seguire|lascia perdere",
        r"istruzion[ei]|regol[ae]|indicazion[ei]|direttiv[ae]|ordini|restrizion[ei]|limitazion[ei]|linee guida|politiche|prompt|messaggio (?:di sistema|dello sviluppatore)"
        r"|tutto (?:ciò|quello) che|quanto detto",
        r"mostra\w{0,3}|rivela\w{0,3}|stampa|ripeti|scrivi|dimmi|dammi|elenca|svela",
        r"prompt di sistema|istruzioni (?:di sistema|iniziali|nascoste|segrete|interne)|le tue (?:istruzioni|regole)|messaggio di sistema|configurazione (?:nascosta|segreta)",
        r"senza (?:alcuna? )?(?:restrizioni?|limiti|limitazioni|filtri|censura|regole)|modalità (?:sviluppatore|debug|amministratore|dio|manutenzione)",
    ),
    Language(
        "pt",
        r"ignor(?:e|a|em|ar)|esque[çc]a(?:m)?|esquecer|desconsidere|n[ãa]o (?:siga|obede[çc]a|considere)|descarte|desobede[çc]a|anule|pare de seguir|deixe de seguir|contorne|desrespeite",
        r"instru[çc](?:[ãa]o|[õo]es)|regras?|diretrizes|orienta[çc][õo]es|ordens|restri[çc][õo]es|limita[çc][õo]es|pol[ií]ticas?|comandos|prompt|mensagem do (?:sistema|desenvolvedor)|tudo o que|o que (?:te|lhe) (?:disseram|foi dito)",
        r"mostr[ea]\w{0,3}|revel[ea]|diga|imprima|repita|escreva|exiba|conte|liste|forneça",
        r"prompt (?:do|de) sistema|instru[çc][õo]es (?:do sistema|iniciais|ocultas|secretas|originais|internas)|suas (?:instru[çc][õo]es|regras)|mensagem (?:do|de) sistema|configura[çc][ãa]o (?:oculta|secreta)",
        r"sem (?:nenhuma )?(?:restri[çc](?:[ãa]o|[õo]es)|limites|filtros?|censura|regras|limita[çc][õo]es)|modo (?:desenvolvedor|depura[çc][ãa]o|deus|administrador|manuten[çc][ãa]o)",
    ),
    Language(
        "nl",
        r"negeer|vergeet|sla|volg|gehoorzaam|omzeil|overschrijf|laat|houd je niet aan|stop met het volgen van|trek je niets aan van",
        r"instructies?|aanwijzingen|regels|richtlijnen|opdrachten|bevelen|beperkingen|voorschriften|systeemprompt|systeembericht|alles wat je|wat je (?:eerder|hiervoor)",
        r"toon|laat|geef|onthul|herhaal|print|vertel|schrijf|druk",
        r"systeem-?prompt|systeeminstructies?|verborgen (?:instructies|configuratie|prompt)|je (?:oorspronkelijke |geheime |eerste )?(?:instructies|regels|systeemprompt)",
        r"zonder (?:enige )?(?:beperkingen|regels|filters?|censuur|grenzen)|(?:ontwikkelaars|debug|beheerders?|onderhouds)-?modus|onbeperkte? (?:assistent|ai)",
    ),
    Language(
        "pl",
        r"z?ignoruj(?:cie)?|zapomnij|pomiń|odrzuć|nie (?:przestrzegaj|stosuj się|słuchaj|zważaj)|obejdź|przestań|zlekceważ|nadpisz|łam",
        r"instrukcj\w{1,4}|polece(?:nia|ń|niach)|reguł\w{0,2}|zasad\w{0,3}|wytyczn\w{1,3}|rozkaz\w{0,3}|ogranicze(?:nia|ń)|prompt\w{0,3}|wszystk\w{1,3},? co|komunikat\w{0,2} systemow\w{1,3}",
        r"pokaż|ujawnij|wyświetl|powtórz|podaj|wypisz|zdradź|wydrukuj|napisz",
        r"prompt\w{0,3} systemow\w{1,3}|systemow\w{1,3} prompt\w{0,3}|(?:ukryt\w{1,3}|tajn\w{1,3}|początkow\w{1,3}|swoje|twoje) (?:instrukcj\w{1,3}|polecenia|zasady|konfiguracj\w{1,2})|instrukcj\w{1,3} systemow\w{1,3}",
        r"bez (?:żadnych )?(?:ograniczeń|reguł|zasad|filtrów|cenzury|limitów)|tryb\w{0,3} (?:programisty|dewelopera|deweloperski\w{0,2}|debugowania|administratora|serwisow\w{1,3})",
    ),
    Language(
        "ru",
        r"(?:про)?игнорируй(?:те)?|забудь(?:те)?|отбрось(?:те)?|не (?:следуй|соблюдай|выполняй|обращай внимания|слушай|учитывай)\w{0,2}|пренебреги|обойди|отмени|перестань|нарушь|пропусти",
        r"инструкци\w{1,3}|указани\w{1,3}|правил\w{0,3}|команд\w{0,2}|директив\w{0,2}|ограничени\w{1,3}|приказ\w{0,2}|предписани\w{1,2}|промпт\w{0,2}|системн\w{1,3} (?:сообщение|промпт|запрос)|вс[её],? что (?:тебе|вам|было|я)|разработчик\w{0,2}",
        r"покажи|раскрой|выведи|повтори|напиши|скажи|распечатай|назови|выдай|сообщи|процитируй",
        r"системн\w{1,3} (?:промпт\w{0,2}|подсказк\w{1,2}|инструкци\w{1,3}|сообщени\w{1,2}|запрос\w?)|(?:свои|твои|ваши|скрыт\w{1,3}|секретн\w{1,3}|исходн\w{1,3}|начальн\w{1,3}) (?:инструкци\w{1,3}|правила|настройки|указания|промпт\w?)",
        r"без (?:каких-либо |всяких )?(?:ограничений|правил|фильтров|цензуры|запретов)|режим\w{0,2} (?:разработчика|отладки|бога|администратора|обслуживания)|неограниченн\w{1,3}",
    ),
    Language(
        "uk",
        r"(?:про)?ігноруй(?:те)?|забудь(?:те)?|відкинь|не (?:дотримуйся|виконуй|слухай|зважай)\w{0,2}|знехтуй|обійди|скасуй",
        r"інструкці\w{1,3}|вказівк\w{1,3}|правил\w{0,3}|команд\w{0,2}|обмежен\w{1,3}|настанов\w{0,2}|промпт\w{0,2}|все,? що (?:тобі|вам|було)",
        r"покажи|розкрий|виведи|повтори|напиши|скажи",
        r"системн\w{1,3} (?:промпт\w{0,2}|інструкці\w{1,3}|повідомлення)|(?:свої|твої|приховані|таємні) (?:інструкції|правила|налаштування)",
        r"без (?:жодних )?(?:обмежень|правил|фільтрів|цензури)|режим\w{0,2} (?:розробника|налагодження|адміністратора)",
    ),
    Language(
        "cs",
        r"ignoruj(?:te)?|zapomeň(?:te)?|nedbej|neřiď se|nedodržuj|přeskoč|obejdi|přepiš|zahoď|přestaň",
        r"pokyn\w{0,2}|instrukc\w{1,3}|pravid\w{1,4}|příkaz\w{0,2}|směrnic\w{0,2}|omezení|prompt\w{0,2}|všechno,? co",
        r"ukaž|zobraz|prozraď|vypiš|zopakuj|řekni|odhal|napiš",
        r"systémov\w{1,3} (?:prompt\w{0,2}|pokyn\w{0,2}|instrukc\w{1,2}|zpráv\w)|(?:své|tvé|skryté|tajné) (?:pokyny|instrukce|pravidla)",
        r"bez (?:jakýchkoli |jakéhokoli )?(?:omezení|pravidel|filtrů|cenzury)|(?:vývojářsk\w{1,3}|ladicí\w{0,2}) režim\w{0,2}",
    ),
    Language(
        "tr",
        r"yok\s?say\w{0,6}|görmezden gel\w{0,4}|unut\w{0,4}|dikkate alma\w{0,3}|uyma\w{0,3}|uymayı bırak|boş ver|es geç|geçersiz kıl|takip etme|devre dışı bırak",
        r"talimat\w{0,10}|yönerge\w{0,10}|kural\w{0,10}|komut\w{0,8}|kısıtlama\w{0,8}|sınırlama\w{0,8}|ilke\w{0,8}|sistem (?:mesaj|istem|prompt)\w{0,5}|söylenen(?:ler)?\w{0,6}|söylediklerin\w{0,4}",
        r"göster|açıkla|yazdır|tekrarla|söyle|paylaş|ifşa et|ver|yaz",
        r"sistem (?:istem\w{0,6}|prompt\w{0,6}|talimat\w{0,8}|mesaj\w{0,6})|gizli (?:talimat\w{0,8}|yapılandırma\w{0,6}|ayar\w{0,8})|kendi talimat\w{0,8}",
        r"(?:kısıtlama|sınır|filtre|sansür|kural)(?:s[ıi]z|lar[ıi] olmayan|lamas[ıi]z)|(?:geliştirici|hata ayıklama|yönetici|bakım) mod\w{0,3}",
        order="any",
    ),
    Language(
        "sv",
        r"ignorera|glöm|bortse från|strunta i|följ inte|åsidosätt|lyd inte|hoppa över|sluta följa",
        r"instruktion\w{0,5}|regler\w{0,2}|anvisning\w{0,4}|riktlinje\w{0,3}|order|begränsning\w{0,4}|systemprompt\w{0,3}|systemmeddelande\w{0,2}|allt (?:du|som)",
        r"visa|avslöja|skriv|upprepa|berätta|ge|säg|återge",
        r"systemprompt\w{0,3}|system-prompt\w{0,3}|systeminstruktion\w{0,4}|(?:dina|hemliga|dolda) (?:instruktioner|regler|inställningar)|dold\w? konfiguration\w{0,2}",
        r"utan (?:några )?(?:begränsningar|regler|filter|censur|gränser|spärrar)|(?:utvecklar|felsöknings|administratörs)-?läge\w?|obegränsad assistent",
    ),
    Language(
        "da",
        r"ignor[eé]r|glem|se bort fra|følg ikke|tilsidesæt|adlyd ikke|overse|hold op med at følge|drop",
        r"instruktion\w{0,5}|regler\w{0,2}|anvisning\w{0,4}|retningslinje\w{0,3}|instruks\w{0,4}|ordre\w{0,2}|begrænsning\w{0,4}|systemprompt\w{0,3}|alt,? (?:hvad|du)",
        r"vis|afslør|skriv|gentag|fortæl|giv|sig|del",
        r"systemprompt\w{0,3}|systeminstruktion\w{0,4}|(?:dine|skjulte|hemmelige) (?:instruktioner|instrukser|regler)",
        r"uden (?:nogen )?(?:begrænsninger|regler|filtre|censur|restriktioner)|(?:udvikler|fejlfindings|administrator)-?tilstand",
    ),
    Language(
        "no",
        r"ignorer|glem|se bort fra|følg ikke|overse|adlyd ikke|sett til side|slutt å følge",
        r"instruksjon\w{0,4}|instruks\w{0,4}|regler\w{0,2}|anvisning\w{0,4}|retningslinje\w{0,3}|ordre\w{0,2}|begrensning\w{0,4}|systemprompt\w{0,3}|systemledetekst\w{0,3}|alt,? (?:du|som)",
        r"vis|avslør|skriv|gjenta|fortell|gi|si",
        r"systemprompt\w{0,3}|systemledetekst\w{0,3}|systeminstruksjon\w{0,4}|(?:dine|skjulte|hemmelige) (?:instruksjoner|instrukser|regler)",
        r"uten (?:noen )?(?:begrensninger|regler|filtre|sensur|restriksjoner)|(?:utvikler|feilsøkings|administrator)-?modus",
    ),
    Language(
        "fi",
        r"ohita|unohda|jätä huomiotta|älä (?:noudata|välitä|seuraa|tottele)|sivuuta|hylkää|lopeta",
        r"ohje\w{0,8}|sään\w{2,8}|määräy\w{2,8}|rajoitu\w{2,8}|järjestelmäkehot\w{1,6}|käsky\w{0,6}|kaikki,? mitä",
        r"näytä|paljasta|tulosta|toista|kerro|anna|kirjoita",
        r"järjestelmäkehot\w{1,6}|järjestelmäohje\w{0,6}|(?:piilotetut|salaiset|alkuperäiset|sinun) ohje\w{0,6}",
        r"ilman (?:mitään )?(?:rajoituksia|sääntöjä|suodattimia|sensuuria)|(?:kehittäjä|vianetsintä|ylläpito)tila\w{0,4}",
        order="any",
    ),
    Language(
        "ro",
        r"ignor[ăa](?:ți|ti)?|uit[ăa](?:ți|ti)?|nu (?:urma|respecta|ține cont|tine cont|asculta)|treci peste|trece peste|anuleaz[ăa]|ocole[șs]te",
        r"instruc[țt]iun\w{1,5}|reguli\w{0,3}|indica[țt]ii\w{0,3}|directive\w{0,3}|ordine\w{0,3}|restric[țt]ii\w{0,3}|prompt\w{0,4}|tot ce|ceea ce [țt]i s",
        r"arat[ăa]\w{0,4}|dezv[ăa]luie|afi[șs]eaz[ăa]|repet[ăa]|spune\w{0,4}|scrie|d[ăa]-mi",
        r"prompt\w{0,4} (?:de sistem|sistemului|ini[țt]ial)|instruc[țt]iun\w{1,4} (?:de sistem|ascunse|ini[țt]iale|secrete)|instruc[țt]iunile tale",
        r"f[ăa]r[ăa] (?:nicio |nici o )?(?:restric[țt]i\w{1,3}|reguli|filtre|limite|cenzur[ăa])|mod\w{0,3} (?:dezvoltator|depanare|administrator)",
    ),
    Language(
        "hu",
        r"hagyd figyelmen kívül|felejtsd el|ne (?:kövesd|tartsd be|vedd figyelembe)|mellőzd|szegd meg|írd felül",
        r"utasítás\w{0,8}|szabály\w{0,8}|irányelv\w{0,8}|parancs\w{0,8}|korlátozás\w{0,8}|rendszerprompt\w{0,4}|mindent,? amit",
        r"mutasd|fedd fel|írd ki|ismételd|mondd|add meg|jelenítsd",
        r"rendszerprompt\w{0,4}|rendszerutasítás\w{0,6}|rendszerüzenet\w{0,4}|(?:rejtett|titkos|saját) (?:utasítás\w{0,6}|szabály\w{0,6})",
        r"(?:korlátozások|korlátok|szabályok|szűrők|cenzúra) nélkül\w{0,2}|(?:fejlesztői|hibakereső) mód\w{0,3}|korlátlan asszisztens",
        order="any",
    ),
    Language(
        "el",
        r"αγνόησε|αγνοήστε|ξέχασε|ξεχάστε|μην (?:ακολουθείς|ακολουθήσεις|τηρείς|λάβεις υπόψη)|παράκαμψε|παράβλεψε",
        r"οδηγ[ίι]\w{1,3}|κανόν\w{1,3}|κανονισμ\w{1,3}|εντολ\w{1,3}|περιορισμ\w{1,3}|προτροπ\w{1,3}|όλα όσα|ό,τι σου",
        r"δείξε|αποκάλυψε|εμφάνισε|επανάλαβε|πες|γράψε|τύπωσε|δώσε",
        r"(?:προτροπ\w{1,2}|οδηγί\w{1,3}|μήνυμα) (?:του )?συστήματος|(?:κρυφές|μυστικές|αρχικές) οδηγίες|τις οδηγίες σου",
        r"χωρίς (?:κανέναν |κανένα )?(?:περιορισμ\w{1,3}|κανόνες|φίλτρα|λογοκρισία)|λειτουργία (?:προγραμματιστή|αποσφαλμάτωσης|διαχειριστή)",
    ),
    Language(
        "id",
        r"abaikan|lupakan|jangan (?:ikuti|patuhi|hiraukan)|kesampingkan|langgar|hiraukan|tinggalkan|hapus|berhenti mengikuti",
        r"instruksi|perintah|aturan|petunjuk|arahan|panduan|batasan|pembatasan|kebijakan|prompt|pesan (?:sistem|pengembang)|semua yang",
        r"tampilkan|tunjukkan|ungkapkan|cetak|ulangi|beritahu|berikan|tuliskan|sebutkan|bocorkan",
        r"prompt sistem|instruksi (?:sistem|awal|tersembunyi|rahasia)|pesan sistem|konfigurasi (?:tersembunyi|rahasia)|instruksimu",
        r"tanpa (?:batasan|aturan|filter|sensor|batas|pembatasan|larangan)|mode (?:pengembang|debug|admin|dewa|pemeliharaan)",
    ),
    Language(
        "vi",
        r"bỏ qua|quên|phớt lờ|không (?:tuân theo|làm theo|tuân thủ)|đừng (?:tuân theo|làm theo|tuân thủ)|lờ đi|vứt bỏ|hủy bỏ",
        r"hướng dẫn|chỉ dẫn|chỉ thị|quy tắc|mệnh lệnh|lệnh|hạn chế|giới hạn|quy định|nguyên tắc|lời nhắc|mọi thứ|tất cả những gì|những gì",
        r"hiển thị|tiết lộ|cho (?:tôi )?(?:xem|biết)|in ra|in|lặp lại|nói|viết",
        r"(?:lời nhắc|prompt|hướng dẫn|chỉ dẫn|thông điệp|chỉ thị|câu lệnh) (?:của )?hệ thống|(?:hướng dẫn|chỉ dẫn|cấu hình) (?:ẩn|bí mật|ban đầu|gốc)",
        r"không (?:có |bị )?(?:hạn chế|giới hạn|kiểm duyệt|quy tắc|ràng buộc)|chế độ (?:nhà phát triển|gỡ lỗi|quản trị|bảo trì)",
    ),
    Language(
        "hi",
        r"अनदेखा|नज़रअंदाज़|नजरअंदाज|भूल जा\S{0,3}|मत मान\S{0,2}|पालन (?:मत|न|ना|नहीं)|ध्यान (?:मत|न) दो|छोड़ दो|रद्द कर\S{0,2}|उपेक्षा",
        r"निर्देश\S{0,3}|नियम\S{0,3}|आदेश\S{0,3}|हिदायत\S{0,3}|प्रतिबंध\S{0,3}|सीमा\S{0,3}|प्रॉम्प्ट\S{0,3}|सब कुछ|दिशानिर्देश\S{0,3}",
        r"दिखा\S{0,3}|बता\S{0,3}|प्रकट कर\S{0,2}|दोहरा\S{0,3}|प्रिंट कर\S{0,2}|लिख\S{0,3}|उजागर कर\S{0,2}",
        r"सिस्टम (?:प्रॉम्प्ट|निर्देश\S{0,3}|संदेश|मैसेज)|(?:छिपे|छुपे|गुप्त|अपने|मूल|शुरुआती) (?:हुए )?(?:निर्देश\S{0,3}|नियम\S{0,3}|कॉन्फ़िगरेशन)",
        r"बिना (?:किसी )?(?:प्रतिबंध|रोक|सीमा|नियम|फ़िल्टर|सेंसर)\S{0,4}|(?:डेवलपर|डिबग|एडमिन) मोड",
        order="any",
    ),
    Language(
        "bn",
        r"উপেক্ষা|ভুলে যা\S{0,4}|অগ্রাহ্য|মানবে না|অনুসরণ কর\S{0,2} না|বাদ দা\S{0,2}",
        r"নির্দেশ\S{0,6}|নিয়ম\S{0,4}|আদেশ\S{0,3}|বিধিনিষেধ|সীমাবদ্ধতা|প্রম্পট\S{0,2}|সবকিছু",
        r"দেখা\S{0,3}|প্রকাশ কর\S{0,3}|বল\S{0,3}|লেখ\S{0,2}|পুনরাবৃত্তি কর\S{0,2}",
        r"সিস্টেম (?:প্রম্পট\S{0,2}|নির্দেশ\S{0,4}|বার্তা)|(?:গোপন|লুকানো|তোমার) নির্দেশ\S{0,4}",
        r"(?:সীমাবদ্ধতা|বিধিনিষেধ|নিয়ম) ছাড়া|ডেভেলপার মোড",
        order="any",
    ),
    Language(
        "ar",
        r"تجاهل\S{0,2}|انس[َى]?|انسى|لا تتبع|لا تلتزم|لا تتقيد|تخط[َىّ]?|أهمل|اهمل|تغاض|ألغ|اترك|توقف عن اتباع|تجاوز",
        r"\S{0,3}تعليمات\S{0,2}|\S{0,3}قواعد\S{0,2}|\S{0,3}أوامر\S{0,2}|\S{0,3}اوامر\S{0,2}|\S{0,3}توجيهات\S{0,2}|\S{0,3}إرشادات\S{0,2}|\S{0,3}قيود\S{0,2}|كل ما|جميع ما|ما قيل|رسالة المطور|\S{0,3}سياسات\S{0,2}",
        r"اعرض|أظهر|اظهر|اكشف|اطبع|كرر|أخبرني|اخبرني|اكتب|أعطني|اعطني|أرني|قل",
        r"(?:موجه|مطالبة|تعليمات|رسالة|نص|أوامر|برومبت) (?:ال)?نظام\S{0,2}|\S{0,2}تعليمات\S{0,2} (?:المخفية|السرية|الأصلية|الأولية|الداخلية)|تعليماتك|الإعدادات (?:المخفية|السرية)",
        r"(?:بدون|دون|بلا|من دون) (?:أي |اي )?(?:قيود|حدود|رقابة|قواعد|فلاتر)|وضع (?:المطور|المطورين|التصحيح|المسؤول|الصيانة)|غير مقيد",
    ),
    Language(
        "fa",
        r"نادیده بگیر\S{0,2}|فراموش کن\S{0,2}|پیروی نکن|رعایت نکن|توجه نکن|کنار بگذار|دور بزن",
        r"دستور\S{0,12}|قوانین|قواعد|راهنما\S{0,6}|محدودیت\S{0,5}|فرمان\S{0,4}|همه چیز|هر آنچه",
        r"نشان بده|فاش کن|چاپ کن|تکرار کن|بگو|بنویس|نمایش بده|افشا کن",
        r"(?:پرامپت|دستور\S{0,10}|پیام) (?:سیستم|سیستمی|مخفی|پنهان|محرمانه)|دستورالعمل\S{0,4} (?:خود|خودت)",
        r"بدون (?:هیچ )?(?:محدودیت|قانون|فیلتر|سانسور)|حالت (?:توسعه|اشکال|مدیر)\S{0,4}",
        order="any",
    ),
    Language(
        "he",
        r"התעלם|התעלמי|התעלמו|שכח|שכחי|תשכח|אל תציית|אל תעקוב|עקוף|תתעלם",
        r"ה?הוראות|ה?הנחיות|ה?כללים|ה?חוקים|ה?פקודות|ה?מגבלות|כל מה ש\S{0,8}",
        r"הצג|חשוף|הדפס|חזור על|אמור|כתוב|תגיד|גלה|תראה",
        r"(?:פרומפט|הנחיית|הוראות|הודעת) ה?מערכת|ה?הוראות (?:הנסתרות|הסודיות|המקוריות|שלך)",
        r"(?:ללא|בלי) (?:כל )?(?:מגבלות|הגבלות|כללים|צנזורה)|מצב (?:מפתח|מנהל|ניפוי)",
    ),
    Language(
        "th",
        r"เพิกเฉย|ละเว้น|ลืม|ไม่ต้องสนใจ|ไม่ต้องทำตาม|อย่าทำตาม|ละเลย|ข้าม|เมิน|ไม่สนใจ|อย่าสนใจ",
        r"คำสั่ง|กฎ|คำแนะนำ|ข้อกำหนด|ข้อจำกัด|แนวทาง|พรอมต์|พรอมท์|ทุกอย่างที่|นโยบาย",
        r"แสดง|เปิดเผย|บอก|พิมพ์|ทวน|เขียน|เผย",
        r"(?:พรอมต์|พรอมท์|คำสั่ง|ข้อความ|คำแนะนำ)(?:ของ)?ระบบ|(?:คำสั่ง|การตั้งค่า|คำแนะนำ)(?:ที่)?(?:ซ่อน|ลับ)",
        r"(?:ไม่มี|ไร้|ปราศจาก)(?:ข้อจำกัด|ขีดจำกัด|กฎ|การเซ็นเซอร์)|โหมด(?:นักพัฒนา|ดีบัก|ผู้ดูแล)",
        spaced=False,
    ),
    Language(
        "zh",
        r"忽略|忽视|无视|忘记|忘掉|不要(?:遵守|理会|遵循|管)|不再(?:遵守|遵循)|不用(?:遵守|理会|管)|抛开|绕过|跳过|覆盖|违反|放弃|撇开|停止遵循|停止遵守|丢弃|忽略掉"
        r"|無視|忘記|不要(?:遵守|理會|遵循)|繞過|拋開|違反",
        r"指令|指示|说明|规则|规定|命令|提示词?|要求|限制|约束|设定|准则|政策|内容|开发者消息|對話|指令|規則|規定|限制|設定|說明|一切|所有(?:的)?话",
        r"显示|展示|输出|告诉|说出|打印|透露|泄露|重复|列出|写出|公开|揭示|给我|顯示|輸出|告訴|說出|洩露|重複",
        r"系统(?:提示词?|指令|消息|设定|prompt|信息)|(?:隐藏|秘密|初始|原始|内部)的?(?:指令|提示词?|配置|设定|规则)|(?:你的|妳的)(?:指令|提示词?|设定|初始指令)|系統(?:提示詞?|指令|訊息)",
        r"(?:没有|不受|无|毫无|沒有|無)(?:任何)?(?:的)?(?:限制|约束|审查|规则|道德|過濾|約束)|(?:开发者|開發者|调试|管理员|上帝|维护)模式|无限制的?(?:助手|AI|模型)",
        order="any",
        spaced=False,
    ),
    Language(
        "ja",
        r"無視|忘れ(?:て|ろ|なさい)|従わないで|従うな|従わず|無効に|破棄|取り消|守らない|守るな|上書き|考慮しない|捨て",
        r"指示|命令|ルール|規則|指図|プロンプト|制約|制限|ガイドライン|ポリシー|説明|メッセージ|設定|内容|言われたこと",
        r"見せ|表示|教え|出力|明かし|公開|繰り返し|書い|示し|開示|暴露|答え",
        r"システム(?:プロンプト|指示|メッセージ|命令|設定)|(?:隠された|秘密の|最初の|初期|内部|隠し)(?:の)?(?:指示|プロンプト|設定|ルール|命令)|あなたの(?:指示|プロンプト|設定)",
        r"(?:制限|制約|検閲|ルール|フィルター)(?:の|が)?(?:ない|なし|無し|無い)|(?:開発者|デバッグ|管理者|メンテナンス)モード|無制限の",
        order="any",
        spaced=False,
    ),
    Language(
        "ko",
        r"무시\S{0,4}|잊어\S{0,4}|잊으\S{0,3}|따르지 ?(?:마|말)\S{0,3}|지키지 ?(?:마|말)\S{0,3}|우회\S{0,3}|버려\S{0,2}|취소\S{0,3}|건너뛰\S{0,2}|어겨\S{0,2}",
        r"지시\S{0,5}|명령\S{0,4}|규칙\S{0,3}|지침\S{0,3}|프롬프트\S{0,2}|제한\S{0,4}|안내\S{0,3}|설정\S{0,3}|제약\S{0,3}|정책\S{0,2}|모든 (?:것|내용|말)\S{0,2}",
        r"보여\S{0,4}|공개\S{0,4}|출력\S{0,4}|알려\S{0,4}|말해\S{0,3}|반복\S{0,4}|적어\S{0,3}|표시\S{0,4}|드러내\S{0,2}",
        r"시스템 ?(?:프롬프트|지시|메시지|명령|설정)\S{0,3}|(?:숨겨진|비밀|초기|원래|내부) ?(?:지시|프롬프트|설정|지침|명령)\S{0,3}|너의 지시\S{0,3}",
        r"(?:제한|제약|검열|규칙|필터)(?:이|가|도)? ?(?:없는|없이|없다)|(?:개발자|디버그|관리자|유지보수) ?모드|무제한",
        order="ov",
        spaced=False,
    ),
)

_WORDS_BETWEEN = r"\S*(?:\s+\S+){0,5}\s+[\"'«“„(]?"
_CHARACTERS_BETWEEN = r"[^\n。！？.!?]{0,14}"
_WORD_START = r"(?:^|[\s\"'«“„¿¡(\[>*:,.!-])"
# RE2 knows only ASCII letters by ``\w``; all Unicode letters would make large automata.
_ENDING = re.compile(r"\\w(?:\{\d+,\d+\}|\?)?")


def _stems(words: str) -> str:
    return "(?:" + _ENDING.sub(r"\\S*", words) + ")"


def _act(language: Language, verb: str, thing: str) -> str:
    between = _WORDS_BETWEEN if language.spaced else _CHARACTERS_BETWEEN
    start = _WORD_START if language.spaced else ""
    forwards = f"{start}{_stems(verb)}{between}{_stems(thing)}"
    backwards = f"{start}{_stems(thing)}{between}{_stems(verb)}"
    return {"vo": forwards, "ov": backwards, "any": f"{forwards}|{backwards}"}[language.order]


def _signals(language: Language) -> tuple[Signal, ...]:
    code = language.code
    start = _WORD_START if language.spaced else ""
    # One expression for the language, of the words that are rare in ordinary text.
    telling = f"{start}{_stems('|'.join((language.drop, language.prompt, language.unbound)))}"
    override = _act(language, language.drop, language.rules)
    reveal = _act(language, language.tell, language.prompt)
    unbound = f"{start}{_stems(language.unbound)}"
    return (
        Signal(f"{code}_override", "override", 0.7, override, telling),
        Signal(f"{code}_reveal", "extraction", 0.65, reveal, telling),
        Signal(f"{code}_unbound", "jailbreak", 0.5, unbound, telling),
    )


OTHER_LANGUAGES: tuple[Signal, ...] = tuple(
    signal for language in LANGUAGES for signal in _signals(language)
)

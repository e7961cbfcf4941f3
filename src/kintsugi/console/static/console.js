// Pages work without this file. It keeps the first page current, draws the chart, and adds keys.
"use strict";

(() => {
  // From the mildest to the strictest; the strictest stands at the foot of each bar.
  const VERDICTS = ["allow", "flag", "transform", "redact", "escalate", "quarantine", "block"];

  const styleOf = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // ---- chart -----------------------------------------------------------------------------

  /** Cumulative heights, tallest series first, so that each later one is drawn over it. */
  const stack = (data) => {
    const sums = new Array(data.minutes.length).fill(0);
    const layers = [];
    for (const verdict of [...VERDICTS].reverse()) {
      data.counts[verdict].forEach((count, at) => { sums[at] += count; });
      layers.unshift(sums.slice());
    }
    return [data.minutes, ...layers];
  };

  const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);

  class Chart {
    constructor(place) {
      this.place = place;
      this.data = JSON.parse(place.dataset.chart);
      place.hidden = false;
      this.legend = document.createElement("p");
      this.legend.className = "legend";
      place.after(this.legend);
      this.draw();
      new ResizeObserver(() => this.resize()).observe(place);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    }

    draw() {
      this.plot?.destroy();
      const axis = {
        stroke: styleOf("--ink-soft"),
        font: "12px " + styleOf("--sans"),
        grid: { stroke: styleOf("--line"), width: 1 },
        ticks: { show: false },
      };
      const bars = uPlot.paths.bars({ size: [0.72, 14], radius: 0.12 });
      this.plot = new uPlot({
        width: this.place.clientWidth,
        height: 190,
        padding: [12, 8, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
        // Half a minute on either side, so that the outer bars are whole.
        scales: { x: { time: true, range: (_plot, low, high) => [low - 30, high + 30] }, y: { range: (_plot, _low, high) => [0, Math.max(4, high * 1.1)] } },
        axes: [
          { ...axis, size: 30, grid: { show: false }, values: (_plot, ticks) => ticks.map(clock) },
          { ...axis, size: 46, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5] },
        ],
        series: [
          {},
          ...VERDICTS.map((verdict) => ({
            paths: bars,
            fill: styleOf(`--fill-${verdict}`),
            stroke: styleOf(`--fill-${verdict}`),
            width: 0,
            points: { show: false },
          })),
        ],
        hooks: { setCursor: [(plot) => this.explain(plot.cursor.idx)] },
      }, stack(this.data), this.place);
      this.explain(null);
    }

    update(data) {
      this.data = data;
      this.plot.setData(stack(data));
      this.explain(this.plot.cursor.idx);
    }

    resize() {
      const width = this.place.clientWidth;
      if (width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: 190 });
    }

    /** The legend names the minute under the pointer, or the hour as a whole. */
    explain(at) {
      const whole = at === null || at === undefined;
      const label = document.createElement("span");
      label.className = "legend-when";
      label.textContent = whole ? "60 minutes" : `${clock(this.data.minutes[at])} UTC`;
      const items = VERDICTS.map((verdict) => {
        const counts = this.data.counts[verdict];
        const count = whole ? counts.reduce((sum, n) => sum + n, 0) : counts[at];
        if (count === 0 && !["allow", "block"].includes(verdict)) return null;
        const item = document.createElement("span");
        item.className = `legend-item verdict-${verdict}`;
        item.textContent = `${verdict} ${count.toLocaleString("en")}`;
        return item;
      });
      this.legend.replaceChildren(label, ...items.filter(Boolean));
    }
  }

  // ---- news ------------------------------------------------------------------------------

  const follow = (chart) => {
    const live = document.getElementById("live");
    const say = (state, words) => {
      if (live.dataset.state === state) return;
      live.dataset.state = state;
      live.querySelector(".word").textContent = words;
    };
    const source = new EventSource("/live");
    source.addEventListener("open", () => say("on", "Live"));
    source.addEventListener("error", () => say("off", "Not live: reconnecting"));
    source.addEventListener("minutes", (event) => chart?.update(JSON.parse(event.data)));
    for (const part of ["overview", "decisions"]) {
      source.addEventListener(part, () => {
        document.getElementById(part)?.dispatchEvent(new CustomEvent("kt-changed"));
      });
    }
    addEventListener("pagehide", () => source.close());
  };

  // ---- keys ------------------------------------------------------------------------------

  // Only inside the list: letters that act anywhere get in the way of speech input (WCAG 2.1.4).
  document.addEventListener("keydown", (event) => {
    const step = { j: 1, k: -1 }[event.key];
    const list = event.target.closest("#decisions");
    if (!step || !list || event.ctrlKey || event.metaKey || event.altKey) return;
    const links = [...list.querySelectorAll(".row-link")];
    const now = links.indexOf(document.activeElement);
    links[Math.min(links.length - 1, Math.max(0, now + step))]?.focus();
    event.preventDefault();
  });

  // A form with a key of its own is sent by it, unless somebody types.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest("input, textarea, select, button, [contenteditable]")) return;
    const form = [...document.querySelectorAll("form[data-key]")].find(
      (one) => one.dataset.key === event.key,
    );
    if (!form) return;
    event.preventDefault();
    form.requestSubmit();
  });

  // ---- forms -----------------------------------------------------------------------------

  // Fields that were left empty say nothing; without them an address can be read and shared.
  document.querySelector(".filters")?.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) {
      if (!value) event.formData.delete(name);
    }
  });

  // The code of an invitation stands behind the "#" of its link, which no server is sent.
  const code = document.querySelector("[data-from-fragment]");
  if (code && location.hash.length > 1) {
    code.value = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
  }

  const place = document.getElementById("chart");
  const chart = place && window.uPlot ? new Chart(place) : null;
  if (document.getElementById("live")) follow(chart);
})();

// The word strip and the text below it. Everything a layer change needs is here: no message goes to the server.

const ROW = 15;
const PEOPLE = 9;
const LEAST_COLUMN = 1;
const ALIVE = [31, 131, 192];
const MARKED = "#D55E00";
const STEP_MS = 800;
const FULL_SHADE = 6;
// What the reader chose, kept when new data come.
const chosen = new Map();

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  const key = data.key || "strip";
  const state = chosen.get(key) ||
    { layer: data.layer ?? data.layers, byScore: false, focused: 0, turn: 0, off: [], clean: () => {} };
  chosen.set(key, state);
  // New data come without an unmount before them.
  state.clean();
  state.layer = state.last ? data.layers : Math.max(0, Math.min(data.layers, state.layer));
  const count = data.words.length;
  const gold = new Set(data.gold || []);
  // An answer to an earlier click knows nothing of the later ones.
  const turn = data.turn ?? 0;
  if (turn >= state.turn) Object.assign(state, { turn, off: data.off || [] });
  const off = new Set(state.off.filter((i) => i < count));
  const left = Array.from({ length: data.layers + 1 }, () => 0);
  const byFate = Array.from({ length: data.layers + 1 }, () => []);
  data.fell.forEach((fell, i) => {
    if (off.has(i)) return;
    byFate[fell].push(i);
    for (let layer = 0; layer <= fell; layer++) left[layer]++;
  });

  // ---- the page

  const play = element("button", { type: "button", class: "play" }, "▶ Play");
  const slider = element("input", { type: "range", min: 0, max: data.layers, step: 1, "aria-label": "Layer" });
  const output = element("output", { "aria-live": "polite" });
  const shade = element("input", { type: "checkbox" });
  const controls = element("div", { class: "controls" }, play, slider, output);
  if (data.contribution)
    controls.append(element("label", { class: "shade" }, shade, " Colour by contribution (CP score)"));
  const canvas = element("canvas", { "aria-hidden": "true" });
  const spacer = element("div", { class: "spacer" }, canvas);
  const scroller = element("div", { class: "scroller" }, spacer);
  const gutter = element("div", { class: "gutter", "aria-hidden": "true" });
  if (data.gold) gutter.append(element("span", { class: "people", style: `height:${PEOPLE}px` }, "people"));
  for (let layer = 1; layer <= data.layers; layer++)
    gutter.append(element("span", { style: `height:${ROW}px;line-height:${ROW}px` }, String(layer)));
  const strip = element("div", { class: "strip" }, gutter, scroller);
  const legend = element("p", { class: "legend" }, element("span", { class: "w" }, "kept"), " ",
    element("span", { class: "w gone" }, "dropped"), " ",
    data.gold ? element("span", { class: "w gold" }, "marked by people") : null, " ",
    data.switchable ? element("span", { class: "w off" }, "switched off") : null, " ",
    element("span", { class: "hint" }, data.switchable
      ? "Click a word (or press Enter on it) to switch it off or on."
      : "Point at a word, or walk with Tab and the arrow keys, to see why it stayed or fell."));
  const { spans, paragraphs } = spell(data.words, data.breaks, (i) => gold.has(i) && gold.has(i + 1));
  const text = element("div", { class: "text", role: "group", "aria-label": "The text; arrow keys go from word to word" },
    ...paragraphs);
  const root = element("div", { class: "view" }, controls, strip, legend, text);
  for (const i of gold) spans[i].classList.add("gold");
  for (const i of off) spans[i].classList.add("off");
  if (data.switchable)
    spans.forEach((span, i) => {
      span.setAttribute("role", "button");
      span.setAttribute("aria-pressed", String(!off.has(i)));
    });
  const old = parentElement.querySelector(".view");
  const scope = parentElement.getRootNode();
  const hadFocus = Boolean(old && scope.activeElement && old.querySelector(".text").contains(scope.activeElement));
  if (old) old.replaceWith(root);
  else parentElement.append(root);
  const tip = new Tip(root, "strip-tip");

  // ---- layers

  let drawn = 0;
  function show(layer) {
    state.layer = layer;
    state.last = layer === data.layers;
    slider.value = layer;
    slider.setAttribute("aria-valuetext", layer ? `after layer ${layer}` : "before layer 1");
    const all = count - off.size;
    output.textContent = layer
      ? `${left[layer]} of ${all} words left after layer ${layer}`
      : `all ${all} words, before layer 1`;
    for (let fate = Math.min(layer, drawn); fate < Math.max(layer, drawn); fate++)
      for (const i of byFate[fate]) spans[i].classList.toggle("gone", layer > fate);
    drawn = layer;
    if (state.byScore) tint();
    draw();
    if (data.link) {
      const url = new URL(location.href);
      if (layer === data.layers) url.searchParams.delete("layer");
      else url.searchParams.set("layer", layer);
      if (url.href !== location.href) history.replaceState(history.state, "", url);
    }
  }
  const scored = (layer) => Math.max(0, layer - 1);
  const strength = (layer, i) => Math.min(1, Math.sqrt(data.contribution[layer][i] / FULL_SHADE));
  function tint() {
    root.classList.toggle("by-score", state.byScore);
    if (!state.byScore) return;
    const layer = scored(state.layer);
    for (let i = 0; i < count; i++)
      spans[i].style.setProperty("--v", data.fell[i] >= layer && !off.has(i) ? strength(layer, i).toFixed(2) : 0);
  }

  // ---- the strip: only what is in sight is drawn

  const head = data.gold ? PEOPLE : 0;
  let column = 1;
  function measure() {
    const width = scroller.clientWidth;
    column = Math.max(width / Math.max(1, count), LEAST_COLUMN);
    spacer.style.width = column > LEAST_COLUMN ? "100%" : `${Math.ceil(column * count)}px`;
    const height = head + ROW * data.layers;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(width * ratio));
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    draw();
  }
  function draw() {
    const pen = canvas.getContext("2d");
    if (!pen || !canvas.width) return;
    const ratio = window.devicePixelRatio || 1;
    const begin = scroller.scrollLeft;
    const first = Math.floor(begin / column);
    const last = Math.min(count, Math.ceil((begin + scroller.clientWidth) / column));
    const gap = column >= 6 ? 1 : 0;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    const box = (i, y, height) => pen.fillRect(i * column - begin, y, column - gap + (gap ? 0 : 0.3), height);
    pen.fillStyle = MARKED;
    for (const i of gold) if (i >= first && i < last) box(i, 1, PEOPLE - 3);
    for (let layer = 0; layer < data.layers; layer++) {
      const y = head + ROW * layer + 1;
      const ahead = layer >= state.layer ? 0.38 : 1;
      for (let i = first; i < last; i++) {
        const alive = data.fell[i] > layer && !off.has(i);
        const shade = !alive ? 0 : state.byScore ? 0.12 + 0.88 * strength(layer, i) : 0.92;
        pen.fillStyle = alive ? `rgb(${ALIVE} / ${(shade * ahead).toFixed(3)})`.replaceAll(",", " ") : "rgb(128 128 128 / .16)";
        box(i, y, ROW - 2);
      }
    }
    [...gutter.children].forEach((cell, i) => cell.classList.toggle("now", i - (data.gold ? 1 : 0) === state.layer - 1));
  }
  function place(event) {
    const at = canvas.getBoundingClientRect();
    const i = Math.floor((event.clientX - at.left + scroller.scrollLeft) / column);
    const layer = Math.floor((event.clientY - at.top - head) / ROW);
    return i >= 0 && i < count ? { i, layer: Math.max(0, Math.min(data.layers - 1, layer)) } : null;
  }

  // ---- one word

  function fate(i) {
    if (off.has(i)) return "switched off";
    return data.fell[i] >= data.layers ? "kept to the end" : `dropped at layer ${data.fell[i] + 1}`;
  }
  function chart(i) {
    const reached = Math.min(data.layers, data.fell[i] + 1);
    const width = 26, height = 52;
    const values = [], needs = [];
    for (let layer = 0; layer < reached; layer++) {
      values.push(data.contribution[layer][i]);
      needs.push(data.needed[layer][data.window[i]]);
    }
    const top = Math.sqrt(Math.max(...values, ...needs, 1e-9));
    const y = (value) => height - (Math.sqrt(value) / top) * (height - 4);
    const rows = element("svg:svg", { width: width * data.layers, height: height + 14, role: "img",
      "aria-label": values.map((value, layer) => `layer ${layer + 1}: ${short(value)}, needed ${short(needs[layer])}`).join("; ") });
    for (let layer = 0; layer < data.layers; layer++) {
      const x = layer * width;
      const label = element("svg:text", { x: x + width / 2, y: height + 12, "text-anchor": "middle" }, String(layer + 1));
      rows.append(label);
      if (layer >= reached) continue;
      const stays = data.fell[i] > layer;
      rows.append(
        element("svg:rect", { class: stays ? "bar" : "bar short", x: x + 5, width: width - 10, y: y(values[layer]),
          height: height - y(values[layer]) }),
        element("svg:line", { class: "need", x1: x + 1, x2: x + width - 1, y1: y(needs[layer]), y2: y(needs[layer]) }));
    }
    return rows;
  }
  function tell(i, anchor) {
    const lines = [element("b", {}, element("bdi", {}, data.words[i])), element("div", {}, fate(i))];
    if (gold.has(i)) lines.push(element("div", {}, "marked by people"));
    if (data.contribution && !off.has(i)) {
      lines.push(chart(i), element("div", { class: "hint" },
        "contribution at each layer (bar) and what was needed (line); 1 is an even share; square-root scale"));
      const layer = Math.min(data.layers - 1, data.fell[i]);
      lines.push(element("div", {}, `layer ${layer + 1}: ${short(data.contribution[layer][i])}, ` +
        `needed ${short(data.needed[layer][data.window[i]])}`));
    }
    if (data.scores.length && !off.has(i)) {
      const rows = data.scores.map((method) => {
        let rank = 1;
        for (const value of method.values) if (value > method.values[i]) rank++;
        return element("tr", {}, element("th", { scope: "row" }, method.title), element("td", {}, short(method.values[i])),
          element("td", {}, `rank ${rank} of ${method.values.length}`));
      });
      lines.push(element("table", {}, ...rows));
    }
    tip.show(anchor, ...lines);
  }
  let hot = null;
  function point(i, anchor) {
    if (hot !== null) spans[hot].classList.remove("hot");
    hot = i;
    if (i === null) return tip.hide();
    spans[i].classList.add("hot");
    tell(i, anchor || spans[i]);
  }
  function flip(i) {
    if (!data.switchable) return;
    // What was said last, also where this text has been drawn anew since.
    for (const word of [...off]) if (!state.off.includes(word)) off.delete(word);
    for (const word of state.off) off.add(word);
    if (off.has(i)) off.delete(i);
    else off.add(i);
    spans[i].classList.toggle("off", off.has(i));
    spans[i].setAttribute("aria-pressed", String(!off.has(i)));
    state.focused = i;
    state.turn++;
    state.off = [...off].sort((a, b) => a - b);
    // The whole set, so that a click which is overtaken by the next is not lost.
    setTriggerValue("switch", { off: state.off, turn: state.turn });
  }

  // ---- what the reader does

  let timer = null;
  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶ Play";
  }
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    play.textContent = "❚❚ Pause";
    if (state.layer >= data.layers) show(0);
    timer = setInterval(() => {
      show(state.layer + 1);
      if (state.layer >= data.layers) stop();
    }, STEP_MS);
  });
  slider.addEventListener("input", () => (stop(), show(Number(slider.value))));
  shade.addEventListener("change", () => {
    state.byScore = shade.checked;
    tint();
    draw();
  });
  scroller.addEventListener("scroll", draw);
  canvas.addEventListener("pointermove", (event) => {
    const at = place(event);
    point(at ? at.i : null, at ? { getBoundingClientRect: () => new DOMRect(event.clientX, event.clientY, 1, 1) } : null);
  });
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("click", (event) => {
    const at = place(event);
    if (at === null) return;
    stop();
    show(at.layer + 1);
    spans[at.i].scrollIntoView({ block: "nearest" });
  });
  text.addEventListener("pointerover", (event) => {
    const i = wordAt(event);
    if (i !== null) point(i);
  });
  text.addEventListener("pointerleave", () => point(null));
  if (data.switchable) text.addEventListener("click", (event) => {
    const i = wordAt(event);
    if (i !== null) flip(i);
  });
  const walk = walkable(text, spans, data.switchable ? flip : null, (i) => {
    state.focused = i;
    spans[i].setAttribute("aria-describedby", "strip-tip");
    point(i);
  }, () => point(null));

  const watch = new ResizeObserver(measure);
  watch.observe(scroller);
  shade.checked = state.byScore = state.byScore && Boolean(data.contribution);
  measure();
  show(state.layer);
  tint();
  if (hadFocus && state.focused < count) walk.focus(state.focused);
  state.clean = () => {
    stop();
    watch.disconnect();
    tip.hide();
  };
  return () => state.clean();
}

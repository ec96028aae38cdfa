// Methods side by side. Pointing at a word in one shows it in all.

const OUTCOMES = ["", "hit", "false", "miss"];
const SAID = ["neither chosen nor marked", "chosen, marked by people", "chosen, not marked by people", "marked by people, not chosen"];

export default function (component) {
  const { parentElement, data } = component;
  const root = element("div", { class: "view" });
  const tips = data.marked ? SAID : ["not chosen", "chosen", "", ""];
  const legend = element("p", { class: "legend" },
    ...(data.marked
      ? [["hit", "true positive"], ["false", "false positive"], ["miss", "miss"]]
      : [["hit", "chosen (people marked nothing here)"]]
    ).flatMap(([name, title]) => [element("span", { class: `w ${name}` }, title), " "]));
  const panels = element("div", { class: "panels" });
  root.append(legend, panels);
  const all = [];
  const texts = [];
  const tip = new Tip(root, "compare-tip");
  let hot = null;
  function point(i, anchor) {
    if (hot !== null) for (const spans of all) spans[hot].classList.remove("hot");
    hot = i;
    if (i === null) return tip.hide();
    for (const spans of all) spans[i].classList.add("hot");
    tip.show(anchor, element("b", {}, element("bdi", {}, data.words[i])),
      element("table", {}, ...data.methods.map((method) => element("tr", {},
        element("th", { scope: "row" }, method.title), element("td", {}, tips[method.outcome[i]])))));
  }
  for (const method of data.methods) {
    const same = (i) => method.outcome[i] && method.outcome[i] === method.outcome[i + 1];
    const { spans, paragraphs } = spell(data.words, data.breaks, same);
    spans.forEach((span, i) => method.outcome[i] && span.classList.add(OUTCOMES[method.outcome[i]]));
    all.push(spans);
    const figures = element("dl", {}, ...method.figures.map(([title, value]) =>
      element("div", {}, element("dt", {}, title), element("dd", {}, value))));
    const text = element("div", { class: "text", role: "group",
      "aria-label": `${method.title}; arrow keys go from word to word` }, ...paragraphs);
    text.addEventListener("pointerover", (event) => {
      const i = wordAt(event);
      if (i !== null) point(i, spans[i]);
    });
    text.addEventListener("pointerleave", () => point(null));
    walkable(text, spans, null, (i) => {
      spans[i].setAttribute("aria-describedby", "compare-tip");
      point(i, spans[i]);
    }, () => point(null));
    panels.append(element("section", {}, element("h3", {}, method.title), figures, text));
    texts.push(text);
  }
  // The texts scroll together, so that the same words stay side by side.
  for (const text of texts)
    text.addEventListener("scroll", () => {
      if (text.matches(":hover, :focus-within")) for (const other of texts) if (other !== text) other.scrollTop = text.scrollTop;
    }, { passive: true });
  const old = parentElement.querySelector(".view");
  if (old) old.replaceWith(root);
  else parentElement.append(root);
  return () => tip.hide();
}

// What the components share: elements without HTML parsing, a document's words, a tip that follows them.
// Texts are untrusted: they only ever become text nodes and attribute values.

const SVG = "http://www.w3.org/2000/svg";

function element(tag, attributes = {}, ...children) {
  const made = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// The words as spans, a paragraph for each sentence; `joined(i)` says that the space after word i belongs to it.
function spell(words, breaks, joined) {
  const spans = new Array(words.length);
  const paragraphs = [];
  const starts = new Set(breaks);
  let paragraph = null;
  for (let i = 0; i < words.length; i++) {
    if (paragraph === null || starts.has(i)) paragraphs.push((paragraph = element("p")));
    const span = document.createElement("span");
    span.className = "w";
    const inside = joined(i) && !starts.has(i + 1);
    span.textContent = words[i] + (inside ? " " : "");
    span.place = i;
    paragraph.append(span, inside ? "" : " ");
    spans[i] = span;
  }
  return { spans, paragraphs };
}

const wordAt = (event) => {
  const target = event.composedPath ? event.composedPath()[0] : event.target;
  const span = target && target.closest ? target.closest(".w") : null;
  return span && span.place !== undefined ? span.place : null;
};

// One word at a time can be reached with the tab key; arrows, Home and End go on from it.
function walkable(box, spans, onEnter, onFocus, onLeave) {
  let current = 0;
  if (spans.length) spans[0].setAttribute("tabindex", "0");
  const reach = (place) => {
    const next = Math.max(0, Math.min(spans.length - 1, place));
    // A word that has the focus must not lose its place in the tab order, or the focus is lost with it.
    if (next === current) return;
    spans[next].setAttribute("tabindex", "0");
    spans[current].setAttribute("tabindex", "-1");
    current = next;
  };
  box.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      reach(current + steps[event.key]);
      spans[current].focus();
      event.preventDefault();
    } else if (event.key === "Escape") {
      onLeave();
    } else if ((event.key === "Enter" || event.key === " ") && onEnter) {
      onEnter(current);
      event.preventDefault();
    }
  });
  box.addEventListener("focusin", (event) => {
    const place = wordAt(event);
    if (place === null) return;
    reach(place);
    onFocus(place);
  });
  box.addEventListener("focusout", onLeave);
  return { focus: (place) => (reach(place), spans[current].focus({ preventScroll: true })) };
}

// A tip above everything, beside a word.
class Tip {
  constructor(root, id) {
    this.box = element("div", { class: "tip", role: "tooltip", id, popover: "manual" });
    root.append(this.box);
  }
  show(anchor, ...children) {
    this.box.replaceChildren(...children);
    if (this.box.showPopover && !this.box.matches(":popover-open")) this.box.showPopover();
    this.box.classList.add("shown");
    const at = anchor.getBoundingClientRect();
    const own = this.box.getBoundingClientRect();
    const below = at.bottom + 8 + own.height < innerHeight || at.top < own.height + 8;
    this.box.style.left = `${Math.max(8, Math.min(at.left, innerWidth - own.width - 8))}px`;
    this.box.style.top = `${below ? at.bottom + 8 : at.top - own.height - 8}px`;
  }
  hide() {
    if (this.box.hidePopover && this.box.matches(":popover-open")) this.box.hidePopover();
    this.box.classList.remove("shown");
  }
}

const short = (value) => (value === 0 ? "0" : Math.abs(value) < 0.001 ? value.toExponential(1) : String(+value.toPrecision(3)));

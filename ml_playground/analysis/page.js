"use strict";
(() => {
  const tip = document.getElementById("tip");

  // Tables: a click on a heading sorts by it, another the other way round. Empty cells stay last.
  const keyOf = (cell) => {
    const value = cell.dataset.value;
    if (value !== undefined) return [0, Number(value)];
    const text = cell.textContent.trim();
    return text ? [1, text] : [2, ""];
  };
  const compare = (one, other, sign) => {
    if (one[0] === 2 || other[0] === 2 || one[0] !== other[0]) return one[0] - other[0];
    const order = one[0] === 0 ? one[1] - other[1] : one[1].localeCompare(other[1], "en", { numeric: true });
    return sign * order;
  };
  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      const head = button.parentElement;
      const descending = head.getAttribute("aria-sort") === "ascending";
      for (const each of head.parentElement.children) each.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const body = head.closest("table").tBodies[0];
      const rows = Array.from(body.rows, (row) => [keyOf(row.cells[head.cellIndex]), row]);
      rows.sort((one, other) => compare(one[0], other[0], descending ? -1 : 1));
      body.append(...rows.map((each) => each[1]));
    });
  }

  // One box for all tooltips, below what it is about, or above it where there is no room below.
  let owner = null;
  const show = (element, content) => {
    hide();
    owner = element;
    tip.replaceChildren(content);
    tip.hidden = false;
    element.setAttribute("aria-describedby", "tip");
    const at = element.getClientRects()[0] || element.getBoundingClientRect();
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    const below = at.bottom + 6 + tip.offsetHeight <= window.innerHeight;
    tip.style.left = `${window.scrollX + Math.max(8, Math.min(at.left, room))}px`;
    tip.style.top = `${window.scrollY + (below ? at.bottom + 6 : Math.max(4, at.top - tip.offsetHeight - 6))}px`;
  };
  const hide = () => {
    if (owner) owner.removeAttribute("aria-describedby");
    owner = null;
    tip.hidden = true;
    tip.style.left = tip.style.top = "0";
  };
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  for (const element of document.querySelectorAll("[data-tip]")) {
    const text = () => show(element, document.createTextNode(element.dataset.tip));
    element.addEventListener("mouseenter", text);
    element.addEventListener("focus", text);
    element.addEventListener("mouseleave", hide);
    element.addEventListener("blur", hide);
  }

  // Passages: the token under the mouse or the finger, or the one that the arrow keys lead to.
  const { texts, tokens } = JSON.parse(document.getElementById("alternatives").textContent);
  const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 2 : 1)}%`;
  const alternatives = ([bits, ...rest]) => {
    const box = document.createElement("div");
    box.append(bits < 0 ? "not predicted" : `${bits.toFixed(2)} bits, probability ${percent(2 ** -bits)}`);
    if (rest.length) {
      const table = document.createElement("table");
      for (let i = 0; i < rest.length; i += 2) {
        const row = table.insertRow();
        row.insertCell().textContent = texts[rest[i]];
        row.insertCell().textContent = percent(rest[i + 1]);
      }
      box.append(table);
    }
    return box;
  };
  let start = 0;
  for (const passage of document.querySelectorAll(".tokens > .passage")) {
    const first = start;
    const spans = passage.children;
    start += spans.length;
    const number = new Map(Array.from(spans, (span, index) => [span, index]));
    let current = 0;
    const go = (index) => {
      if (spans[current]) spans[current].classList.remove("at");
      current = Math.max(0, Math.min(index, spans.length - 1));
      if (!spans[current]) return;
      spans[current].classList.add("at");
      show(spans[current], alternatives(tokens[first + current]));
    };
    const leave = () => {
      if (spans[current]) spans[current].classList.remove("at");
      hide();
    };
    const under = (event) => { if (number.has(event.target)) go(number.get(event.target)); };
    passage.addEventListener("mouseover", under);
    passage.addEventListener("click", under);
    passage.addEventListener("mouseleave", leave);
    passage.addEventListener("blur", leave);
    passage.addEventListener("focus", () => { if (passage.matches(":focus-visible")) go(current); });
    passage.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowDown: 10, ArrowLeft: -1, ArrowUp: -10 };
      const to = { Home: 0, End: spans.length - 1 }[event.key];
      if (!(event.key in steps) && to === undefined) return;
      event.preventDefault();
      go(to === undefined ? current + steps[event.key] : to);
      spans[current].scrollIntoView({ block: "nearest" });
    });
  }

  // On paper nothing is folded away.
  const opened = [];
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details:not([open])")) {
      each.open = true;
      opened.push(each);
    }
  });
  addEventListener("afterprint", () => {
    for (const each of opened.splice(0)) each.open = false;
  });
})();

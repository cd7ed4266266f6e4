"use strict";
(() => {
  const { shades, names, passages } = JSON.parse(document.getElementById("explore").textContent);
  const root = document.querySelector(".explorer");
  const chooser = root.querySelector("select");
  const text = root.querySelector(".passage");
  const panel = root.querySelector(".panel");
  const selected = panel.querySelector(".selected"); // stays, as screen readers announce only what changes in it
  const parts = panel.querySelector(".parts");
  const ARRAYS = { u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array };
  const SHOWN = 8; // rows of a list
  const WHOLE = 65535; // stands for a probability of 1

  // Numbers: base64 to arrays whose last axis is contiguous.
  const unpacked = ({ shape, type, data }) => {
    const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
    return { shape, values: new ARRAYS[type](bytes.buffer) };
  };
  const read = (value) => {
    if (value === null || typeof value !== "object") return value;
    if ("data" in value) return unpacked(value);
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, read(each)]));
  };
  const known = new Map();
  const opened = (number) => {
    if (!known.has(number)) known.set(number, read(passages[number]));
    return known.get(number);
  };
  const row = ({ shape, values }, ...at) => {
    const width = shape[shape.length - 1];
    const start = at.reduce((sum, index, axis) => sum * shape[axis] + index, 0);
    return values.subarray(start * width, (start + 1) * width);
  };

  // Words and elements.
  const visible = (each) => each.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥");
  const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 2 : 1)}%`;
  const bits = (thousandths) => (thousandths / 1000).toFixed(2);
  const element = (tag, name, ...content) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    made.append(...content);
    return made;
  };
  const bar = (share, words, name = "") => {
    const made = element("span", `bar ${name}`, words);
    made.style.setProperty("--share", Math.max(0, Math.min(1, share)));
    return made;
  };
  const token = (name) => {
    const whole = visible(name);
    return element("code", "", whole.length > 12 ? `${whole.slice(0, 11)}…` : whole);
  };

  const state = { passage: 0, token: 1, layer: 0, head: 0 };
  let shown, spans, numbers; // the passage, its tokens' elements, and where each of these is
  const textOf = (index) => names[shown.ids.values[index]];
  const context = (index) => {
    const some = (from, to) => visible(Array.from({ length: to - from }, (_, i) => textOf(from + i)).join(""));
    const before = some(Math.max(0, index - 10), index).slice(-10);
    const own = token(textOf(index));
    const room = Math.max(0, 7 - own.textContent.length);
    const after = some(index + 1, Math.min(spans.length, index + 7)).slice(0, room);
    return element("span", "context", element("span", "", before), own, after);
  };
  const back = (index) => `${state.token - index} back`;

  // The passage.
  const showText = () => {
    shown = opened(state.passage);
    const heat = shown.bits.values;
    spans = Array.from(shown.ids.values, (id, index) => {
      const span = element("i", "", names[id].replaceAll("\n", "↵\n"));
      const shade = index ? shades.filter((edge) => heat[index - 1] >= 1000 * edge).length : 0;
      if (shade) span.classList.add(`b${shade}`);
      return span;
    });
    numbers = new Map(spans.map((span, index) => [span, index]));
    text.replaceChildren(...spans);
    text.scrollTop = 0;
  };

  // How strongly each earlier token is underlined, with a sign.
  const marks = () => {
    const found = new Map();
    const before = state.token - 1;
    if (before < 0) return found;
    if (root.querySelector("[name=marks]:checked").value === "attended" && shown.attended) {
      const places = row(shown.attended.places, before, state.layer, state.head);
      const weights = row(shown.attended.weights, before, state.layer, state.head);
      const most = Math.max(50, weights[0]);
      places.forEach((place, i) => { if (weights[i]) found.set(place, weights[i] / most); });
      return found;
    }
    const effects = row(shown.effects, before);
    const most = Math.max(1000, ...effects.map(Math.abs));
    effects.forEach((effect, i) => { if (effect && i < state.token) found.set(before - i, effect / most); });
    return found;
  };
  const showMarks = () => {
    for (const span of text.querySelectorAll(".mark")) span.classList.remove("mark", "less");
    for (const [index, strength] of marks()) {
      if (Math.abs(strength) < 0.02) continue;
      spans[index].classList.add("mark");
      spans[index].classList.toggle("less", strength < 0);
      spans[index].style.setProperty("--strength", Math.min(1, 0.2 + 0.8 * Math.abs(strength)));
    }
  };

  // The panel.
  const table = (rows) => {
    const made = element("table", "");
    for (const cells of rows) {
      const line = made.insertRow();
      if (cells.own) line.className = "own";
      for (const cell of cells.cells) line.insertCell().append(cell);
    }
    return made;
  };
  const section = (title, about, ...content) =>
    element("section", "", element("h3", "", title), element("p", "about", about), ...content);

  const instead = (before) => {
    const ids = row(shown.top.ids, before);
    const shares = row(shown.top.shares, before);
    const own = shown.ids.values[state.token];
    const rows = Array.from(ids, (id, i) => ({
      own: id === own,
      cells: [`${i + 1}.`, token(names[id]), bar(shares[i] / WHOLE, percent(shares[i] / WHOLE))],
    }));
    const rank = shown.ranks.values[before] + 1;
    if (!ids.includes(own)) {
      const share = shown.own.values[before] / WHOLE;
      rows.push({ own: true, cells: [`${rank.toLocaleString("en")}.`, token(names[own]), bar(share, percent(share))] });
    }
    const about = "The likeliest tokens in this place; the token of the text is bold.";
    return section("What the model expected", about, table(rows));
  };

  const reliesOn = (before) => {
    const effects = row(shown.effects, before).subarray(0, state.token);
    const strongest = Array.from(effects, (effect, i) => [before - i, effect])
      .filter(([, effect]) => Math.abs(effect) >= 10);
    strongest.sort((one, other) => Math.abs(other[1]) - Math.abs(one[1]));
    const most = Math.max(1000, ...strongest.map(([, effect]) => Math.abs(effect)));
    const rows = strongest.slice(0, SHOWN).map(([index, effect]) => {
      const words = `${effect > 0 ? "+" : "−"}${bits(Math.abs(effect))}`;
      return { cells: [context(index), back(index), bar(Math.abs(effect) / most, words, effect < 0 ? "less" : "")] };
    });
    const reach = shown.effects.shape[1];
    const where = state.token > reach ? `the ${reach} tokens` : "all tokens";
    const about =
      "By how many bits the loss of this token rises (+) or falls (−) without an earlier one: " +
      `${where} before it were left out, one at a time.`;
    const none = element("p", "", "No single token changes the loss by 0.01 bits or more.");
    return section("What it relies on", about, rows.length ? table(rows) : none);
  };

  const layers = (before) => {
    const { bits: costs, ids, shares } = shown.readings;
    const [count, length] = costs.shape;
    const own = shown.ids.values[state.token];
    const of = (layer) => costs.values[layer * length + before];
    const most = Math.max(1000, ...Array.from({ length: count }, (_, layer) => of(layer)));
    const rows = Array.from({ length: count }, (_, layer) => {
      const probabilities = row(shares, layer, before);
      const guesses = Array.from(row(ids, layer, before), (id, i) =>
        element("span", id === own ? "guess own" : "guess", token(names[id]), ` ${percent(probabilities[i] / WHOLE)} `));
      const cost = bar(of(layer) / most, `${bits(of(layer))} bits`);
      return { cells: [layer ? `${layer}` : "start", cost, element("span", "", ...guesses)] };
    });
    const about =
      "What the model would predict if it stopped after each layer: bits of this token, and the likeliest tokens.";
    return section("Layer by layer", about, table(rows));
  };

  const layerName = (layer) => `${shown.attended.layers.values[layer]}`; // some layers may have no attention
  const headName = (head, heads) => (heads > 1 && head === heads - 1 ? "mean" : `${head + 1}`);
  const headButton = (layer, head, heads, place, weight) => {
    const button = element("button", "", visible(textOf(place)));
    const chosen = layer === state.layer && head === state.head;
    button.type = "button";
    button.tabIndex = chosen ? 0 : -1;
    button.setAttribute("aria-pressed", chosen);
    const where = `${percent(weight)} to ${visible(textOf(place))}, ${back(place)}`;
    button.setAttribute("aria-label", `layer ${layerName(layer)}, head ${headName(head, heads)}: ${where}`);
    button.style.setProperty("--share", weight);
    button.dataset.layer = layer;
    button.dataset.head = head;
    return button;
  };
  const headGrid = (before) => {
    const { places, weights } = shown.attended;
    const [, count, heads] = places.shape;
    const grid = element("table", "heads");
    const top = grid.createTHead().insertRow();
    top.append(element("td", "", "layer"));
    for (let head = 0; head < heads; head++) top.append(element("td", "", headName(head, heads)));
    const body = grid.createTBody();
    for (let layer = 0; layer < count; layer++) {
      const line = body.insertRow();
      line.append(element("td", "", layerName(layer)));
      for (let head = 0; head < heads; head++) {
        const place = row(places, before, layer, head)[0];
        const weight = row(weights, before, layer, head)[0] / 255;
        line.insertCell().append(headButton(layer, head, heads, place, weight));
      }
    }
    return element("div", "scroll", grid);
  };
  const attention = (before) => {
    const { places, weights } = shown.attended;
    const heads = places.shape[2];
    const where = row(places, before, state.layer, state.head);
    const list = Array.from(row(weights, before, state.layer, state.head), (weight, i) => [where[i], weight / 255]);
    const most = list.filter(([, weight]) => weight > 0).slice(0, SHOWN);
    const rest = 1 - most.reduce((sum, [, weight]) => sum + weight, 0);
    const rows = most.map(([place, weight]) => (
      { cells: [context(place), back(place), bar(weight, percent(weight))] }));
    if (rest > 0.01) rows.push({ cells: ["all others", "", bar(rest, percent(rest), "rest")] });
    const name = headName(state.head, heads);
    const title = `Layer ${layerName(state.layer)}, ${name === "mean" ? "mean of the heads" : `head ${name}`}`;
    const about =
      "Where each head (columns) of each layer (rows) looks from the position that predicts this token, the one " +
      "before it: the token that gets most attention, darker for more. Select a head to see the others.";
    return section("Attention", about, headGrid(before), element("h4", "", title), table(rows));
  };

  const showSelected = () => {
    const before = state.token - 1;
    if (before < 0) {
      const why = " is the first token: nothing comes before it, so it is not predicted.";
      selected.replaceChildren(token(textOf(0)), why);
      return;
    }
    const own = shown.own.values[before] / WHOLE;
    selected.replaceChildren(
      token(textOf(state.token)),
      ` ${bits(shown.bits.values[before])} bits, probability ${percent(own)}. `,
      element("span", "soft", `The prediction has an entropy of ${bits(shown.entropies.values[before])} bits.`),
    );
  };
  const showParts = () => {
    const before = state.token - 1;
    parts.replaceChildren();
    if (before < 0) return;
    parts.append(instead(before), reliesOn(before));
    if (shown.readings) parts.append(layers(before));
    if (shown.attended) parts.append(attention(before));
  };

  const select = (index) => {
    if (spans[state.token]) spans[state.token].classList.remove("at");
    state.token = Math.max(0, Math.min(index, spans.length - 1));
    const span = spans[state.token];
    span.classList.add("at");
    const room = text.clientHeight - span.offsetHeight;
    if (span.offsetTop < text.scrollTop) text.scrollTop = span.offsetTop - 8;
    else if (span.offsetTop > text.scrollTop + room) text.scrollTop = span.offsetTop - room + 8;
    showMarks();
    showSelected();
    showParts();
  };

  const choose = (number) => {
    state.passage = number;
    showText();
    if (shown.attended) {
      state.layer = shown.attended.places.shape[1] - 1;
      state.head = shown.attended.places.shape[2] - 1;
    }
    const heat = Array.from(shown.bits.values);
    select(heat.indexOf(Math.max(...heat)) + 1); // the most surprising token
  };

  // The token above or below: the nearest one in the line next to that of the token.
  const beside = (direction) => {
    const here = spans[state.token].getClientRects()[0];
    let line = null, nearest = state.token, least = Infinity;
    for (let i = state.token + direction; spans[i]; i += direction) {
      const there = spans[i].getClientRects()[0];
      if (!there || Math.abs(there.top - here.top) < here.height / 2) continue;
      if (line === null) line = there.top;
      if (Math.abs(there.top - line) >= here.height / 2) break;
      const distance = Math.abs(there.left - here.left);
      if (distance < least) [nearest, least] = [i, distance];
    }
    return nearest;
  };

  text.addEventListener("click", (event) => { if (numbers.has(event.target)) select(numbers.get(event.target)); });
  text.addEventListener("keydown", (event) => {
    const to = {
      ArrowRight: () => state.token + 1, ArrowLeft: () => state.token - 1,
      ArrowDown: () => beside(1), ArrowUp: () => beside(-1),
      Home: () => 0, End: () => spans.length - 1,
    }[event.key];
    if (!to || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    select(to());
  });

  const chooseHead = (layer, head) => {
    state.layer = layer;
    state.head = head;
    root.querySelector("[value=attended]").checked = true;
    const left = panel.querySelector(".scroll").scrollLeft;
    showMarks();
    showParts();
    panel.querySelector(".scroll").scrollLeft = left;
    panel.querySelector("[aria-pressed=true]").focus({ preventScroll: true });
  };
  panel.addEventListener("click", (event) => {
    const { layer, head } = event.target.dataset;
    if (layer !== undefined) chooseHead(Number(layer), Number(head));
  });
  panel.addEventListener("keydown", (event) => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!step || event.target.dataset.layer === undefined) return;
    event.preventDefault();
    const [, count, heads] = shown.attended.places.shape;
    const within = (value, size) => Math.max(0, Math.min(value, size - 1));
    chooseHead(within(state.layer + step[0], count), within(state.head + step[1], heads));
  });
  root.querySelector("fieldset").addEventListener("change", showMarks);

  passages.forEach(({ title }, number) => chooser.append(new Option(`${number + 1}: ${title}`, number)));
  chooser.addEventListener("change", () => choose(Number(chooser.value)));
  if (!passages.some(({ attended }) => attended)) root.querySelector("fieldset").hidden = true;
  choose(0);
})();

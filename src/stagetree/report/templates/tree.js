"use strict";
(() => {
  const source = document.getElementById("tree-data");
  if (!source) return;
  const { nodes, common } = JSON.parse(source.textContent);
  const box = document.getElementById("tree-box");
  const panel = document.getElementById("panel");
  const NS = "http://www.w3.org/2000/svg";

  const element = (name, text, parent) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };
  const table = (title, entries) => {
    const pairs = Object.entries(entries);
    if (!pairs.length) return;
    element("h4", title, panel);
    const body = element("tbody", undefined, element("table", undefined, panel));
    for (const [name, value] of pairs) {
      const row = element("tr", undefined, body);
      element("th", name, row).scope = "row";
      element("td", value, row).className = "n";
    }
  };
  const draw = (name, attributes, parent) => {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent.append(made);
    return made;
  };
  const curve = (points) => {
    if (points.length < 2) return;
    element("h4", "learning curve of the objective, by share of the stage", panel);
    const values = points.map(([, value]) => value);
    const low = Math.min(...values), high = Math.max(...values);
    const x = (share) => 46 + share * 220;
    const y = (value) => (high === low ? 60 : 100 - ((value - low) / (high - low)) * 84);
    const svg = draw("svg", { viewBox: "0 0 280 130", class: "curve", role: "img" }, panel);
    svg.setAttribute("aria-label", `from ${values[0]} to ${values[values.length - 1]}`);
    draw("path", { d: "M46 10V106H268", class: "axis" }, svg);
    const text = (at, down, anchor, label) => {
      draw("text", { x: at, y: down, "text-anchor": anchor }, svg).textContent = label;
    };
    text(42, y(high) + 4, "end", high.toPrecision(3));
    if (high !== low) text(42, y(low) + 4, "end", low.toPrecision(3));
    text(46, 122, "middle", "0");
    text(266, 122, "middle", "1");
    draw("path", { d: "M" + points.map(([s, v]) => `${x(s).toFixed(1)} ${y(v).toFixed(1)}`).join("L") }, svg);
    for (const [share, value] of points) {
      const dot = draw("circle", { cx: x(share).toFixed(1), cy: y(value).toFixed(1), r: 2.6 }, svg);
      draw("title", {}, dot).textContent = `${(share * 100).toFixed(0)} %: ${value}`;
    }
  };

  const mark = (id) => {
    for (const old of box.querySelectorAll(".picked")) old.classList.remove("picked");
    box.querySelector(`[data-node="${id}"]`)?.classList.add("picked");
    for (let at = id; at !== null && nodes[at]; at = nodes[at].parent) {
      box.querySelector(`[data-to="${at}"]`)?.classList.add("picked");
    }
  };
  const show = (id) => {
    const node = nodes[id];
    if (!node) return;
    mark(id);
    panel.replaceChildren();
    const kind = node.kind && node.kind !== node.name ? ` (${node.kind})` : "";
    element("h3", node.name + kind + (node.seed ? `, seed ${node.seed}` : ""), panel);
    const list = element("ul", undefined, panel);
    for (const fact of node.facts) element("li", fact, list);
    table("hyperparameters", node.params);
    curve(node.points);
    table("metrics", node.metrics);
    table("other options, unlike other results of the stage", node.config);
    const shared = common[node.name] || {};
    if (Object.keys(shared).length) {
      const rest = element("details", undefined, panel);
      element("summary", "options that all results of the stage share", rest);
      const body = element("tbody", undefined, element("table", undefined, rest));
      for (const [name, value] of Object.entries(shared)) {
        const row = element("tr", undefined, body);
        element("th", name, row).scope = "row";
        element("td", value, row).className = "n";
      }
    }
    if (node.signature) {
      element("h4", "signature", panel);
      element("code", node.signature, panel);
    }
  };

  let scale = 1;
  const zoom = (factor) => {
    const svg = box.querySelector("svg");
    const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    scale = factor === "fit" ? Math.min(1, box.clientWidth / width) : Math.min(4, Math.max(0.15, scale * Number(factor)));
    svg.setAttribute("width", Math.round(width * scale));
    svg.setAttribute("height", Math.round(height * scale));
  };
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => zoom(button.dataset.zoom));
  }

  const fitting = () => {
    const width = Number(box.querySelector("svg").getAttribute("viewBox").split(" ")[2]);
    scale = 1;
    zoom(Math.max(0.7, Math.min(1, box.clientWidth / width)));
  };
  fitting();

  const whole = document.getElementById("whole");
  const unfold = () => {
    if (!whole) return;
    box.replaceChildren(whole.content.cloneNode(true));
    document.getElementById("whole-tree")?.remove();
    document.getElementById("folded-note")?.remove();
    fitting();
  };
  document.getElementById("whole-tree")?.addEventListener("click", unfold);
  const act = (target) => {
    const node = target.closest("[data-node]");
    if (node) show(node.dataset.node);
    else if (target.closest(".fold")) unfold();
    return node;
  };
  box.addEventListener("click", (event) => act(event.target));
  box.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" || event.key === " ") && act(event.target)) event.preventDefault();
  });
  const ends = [...box.querySelectorAll(".edge.won")].map((edge) => edge.dataset.to);
  const parents = new Set(ends.map((id) => String(nodes[id].parent)));
  const last = ends.find((id) => !parents.has(id));
  if (last) show(last);
})();

// Draws the charts, and ties them to the tables: what is picked in one is picked in all of its study.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const views = []; // {study, view, names}
  const picked = new Map(); // by study, the names picked; none: all are shown

  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const ofStudy = (selector, study) => all(selector).filter((found) => found.dataset.study === study);

  function make(tag, text, parent) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  }

  // --- picking networks -----------------------------------------------------------------------------

  function pick(study, names, source) {
    picked.set(study, names);
    for (const one of views) {
      if (one.study !== study || !one.follows) continue;
      one.view.signal(data.picked, names === null ? [] : names.length ? names : [""]).runAsync();
    }
    showRows(study);
    if (source !== "words") for (const box of ofStudy("input.words", study)) box.value = "";
  }

  function showRows(study) {
    const names = picked.get(study) ?? null;
    const wanted = names === null ? null : new Set(names);
    for (const table of ofStudy("table.sortable", study)) {
      const rows = all("tbody tr[data-name]", table);
      if (!rows.length) continue;
      for (const row of rows) row.hidden = wanted !== null && !wanted.has(row.dataset.name);
      const shown = rows.filter((row) => !row.hidden).length;
      for (const count of ofStudy(".count", study)) {
        count.textContent = wanted === null ? "" : `${shown} of ${rows.length} networks`;
      }
    }
  }

  function inBrush(rows, brush) {
    const inside = ([low, high], value) => value >= Math.min(low, high) && value <= Math.max(low, high);
    const fields = Object.keys(brush).filter((field) => Array.isArray(brush[field]));
    if (!fields.length) return null;
    const found = rows.filter((row) => row.name && fields.every((field) => inside(brush[field], row[field])));
    return [...new Set(found.map((row) => row.name))];
  }

  for (const box of all("input.words")) {
    box.addEventListener("input", () => {
      const study = box.dataset.study;
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      if (!words.length) return pick(study, null, "words");
      const rows = ofStudy("table.sortable", study).flatMap((table) => all("tbody tr[data-name]", table));
      const found = rows.filter((row) => words.every((word) => row.textContent.toLowerCase().includes(word)));
      pick(study, [...new Set(found.map((row) => row.dataset.name))], "words");
    });
  }
  for (const button of all("button.all")) {
    button.addEventListener("click", () => pick(button.dataset.study, null));
  }

  // --- one network ----------------------------------------------------------------------------------

  function openNetwork(study, name) {
    const found = (data.networks[study] ?? []).find((one) => one.name === name);
    if (!found) return;
    document.getElementById("network-title").textContent = found.label;
    const body = document.getElementById("network-body");
    body.replaceChildren();
    list(body, data.facts.map((what, place) => [what, found.facts[place]]).filter(([, much]) => much));
    if (found.knobs.length) { make("h3", "Knobs", body); list(body, found.knobs); }
    if (found.findings.length) {
      make("h3", "Departures from design rules", body);
      const items = make("ul", undefined, body);
      for (const line of found.findings) make("li", line, items);
    }
    if (found.stages.length) stages(body, found.stages);
    document.getElementById("network").showModal();
  }

  function list(body, pairs) {
    const made = make("dl", undefined, body);
    for (const [what, much] of pairs) { make("dt", what, made); make("dd", much, made); }
  }

  function stages(body, rows) {
    make("h3", "Stage by stage", body);
    const table = make("table", undefined, body);
    const head = make("tr", undefined, make("thead", undefined, table));
    for (const text of ["stage", "activation bytes", "parameters", "FLOPs"]) {
      const cell = make("th", text, head);
      cell.scope = "col";
      if (text !== "stage") cell.className = "right";
    }
    const lines = make("tbody", undefined, table);
    for (const row of rows) {
      const line = make("tr", undefined, lines);
      row.forEach((text, place) => { make("td", text, line).className = place ? "right" : ""; });
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button.network");
    if (!button) return;
    openNetwork(button.closest("table").dataset.study, button.closest("tr").dataset.name);
  });

  // No form closes it: MLflow shows the page in a frame that may send none.
  const dialog = document.getElementById("network");
  dialog.querySelector("button.close").addEventListener("click", () => dialog.close());

  // --- tables that are sorted -----------------------------------------------------------------------

  function sortBy(table, place, sign) {
    const key = (row) => {
      const cell = row.cells[place];
      const text = cell.textContent.trim();
      if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
      return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
    };
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row, order) => ({ row, order, value: key(row) }));
    keyed.sort((a, b) => {
      const empty = (a.value === "") - (b.value === ""); // what is not known comes last either way
      if (empty || a.value === "") return empty || a.order - b.order;
      const both = typeof a.value === "number" && typeof b.value === "number";
      const by = both ? a.value - b.value : String(a.value).localeCompare(String(b.value));
      return sign * by || a.order - b.order;
    });
    body.append(...keyed.map((one) => one.row));
  }

  for (const table of all("table.sortable")) {
    const heads = all("thead th", table);
    heads.forEach((head, place) => {
      head.querySelector("button").addEventListener("click", () => {
        const rising = head.getAttribute("aria-sort") !== "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        sortBy(table, place, rising ? 1 : -1);
      });
    });
  }

  // --- charts ---------------------------------------------------------------------------------------

  // Expressions are read by an interpreter: the page allows no code made of text.
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, hover: false };

  async function draw(place, spec) {
    const study = place.dataset.study;
    const { view } = await vegaEmbed(place, spec, options);
    // Vega names its axes, legends and marks; what it groups them in has no name to be read.
    for (const group of all("[role^='graphics-']:not([aria-label])", place)) {
      group.removeAttribute("role");
      group.removeAttribute("aria-roledescription");
    }
    const follows = (spec.params ?? []).some((param) => param.name === data.picked);
    views.push({ study, view, follows });
    view.addEventListener("click", (event, item) => {
      if (item?.datum?.name) openNetwork(study, item.datum.name);
    });
    if (!(spec.layer ?? []).some((layer) => (layer.params ?? []).some((p) => p.name === data.brush))) return;
    let waiting = 0;
    view.addSignalListener(data.brush, (_, brush) => {
      clearTimeout(waiting);
      waiting = setTimeout(() => pick(study, inBrush(spec.data.values, brush)), 80);
    });
  }

  // Rows come as columns' names and values: so each name is there once.
  const rowsOf = ({ fields, rows }) => rows.map((row) => Object.fromEntries(fields.map((f, n) => [f, row[n]])));
  const datasets = data.datasets.map(rowsOf);

  // One after another, from the top: the first is there while the others are drawn.
  (async () => {
    const charts = Object.entries(data.charts);
    for (const [id, { spec, dataset }] of charts) {
      await draw(document.getElementById(id), { ...spec, data: { values: datasets[dataset] } });
      await new Promise((next) => { setTimeout(next); });
    }
    document.documentElement.dataset.drawn = String(charts.length);
  })();
})();

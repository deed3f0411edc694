(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("frontier").textContent);
  const find = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // The dial: one row of the frontier is shown everywhere at once.
  const slider = find("#phi");
  const charts = all("svg.chart[data-cost]");
  const lines = new Map(all("tbody tr[data-row]").map((line) => [Number(line.dataset.row), line]));
  const cards = all(".card[data-phi]").map((card) => [card, card.dataset.phi.split(",").map(Number)]);
  let current = -1;

  function select(index) {
    if (index === current) return;
    lines.get(current)?.removeAttribute("aria-current");
    current = index;
    const row = data.rows[index];
    slider.value = String(index);
    slider.setAttribute("aria-valuetext", row.name);
    for (const field of all("[data-field]")) field.textContent = row.texts[field.dataset.field] ?? "";
    charts.forEach((chart) => moveCursor(chart, index));
    row.labels.forEach((label, number) => moveBar(number, label));
    row.stages.forEach((stage, number) => moveStage(number, stage));
    lines.get(index)?.setAttribute("aria-current", "true");
    markNearest(row.phi);
  }

  function moveCursor(chart, index) {
    const point = find(`[data-row="${index}"]`, chart);
    const cursor = find(".cursor", chart);
    cursor.setAttribute("visibility", point ? "visible" : "hidden");
    if (!point) return;
    const [x, y] = [point.getAttribute("cx"), point.getAttribute("cy")];
    const [dot, upright, level] = cursor.children;
    dot.setAttribute("cx", x);
    dot.setAttribute("cy", y);
    upright.setAttribute("x1", x);
    upright.setAttribute("x2", x);
    upright.setAttribute("y1", y);
    level.setAttribute("x2", x);
    level.setAttribute("y1", y);
    level.setAttribute("y2", y);
  }

  function moveBar(number, [mean, low, high, text, change]) {
    const line = find(`[data-label="${number}"]`);
    const place = (value) => 100 * Math.min(1, Math.max(0, (value ?? 0) / data.bars));
    find(".bar", line).setAttribute("width", place(mean));
    const interval = find(".interval", line);
    interval.setAttribute("x1", place(low));
    interval.setAttribute("x2", place(high));
    interval.setAttribute("visibility", low === null ? "hidden" : "visible");
    find(".value", line).textContent = text;
    find(".change", line).textContent = change;
  }

  function moveStage(number, [place, seconds, share]) {
    const line = find(`[data-stage="${number}"]`);
    find(".bar", line)?.setAttribute("width", place);
    find(".value", line).textContent = seconds;
    find(".change", line).textContent = share;
  }

  function markNearest(phi) {
    const distance = (other) => Math.hypot(...other.map((value, axis) => value - (phi[axis] ?? phi[0])));
    const nearest = Math.min(...cards.map(([, other]) => distance(other)));
    for (const [card, other] of cards) card.classList.toggle("near", distance(other) <= nearest + 1e-9);
  }

  slider.addEventListener("input", () => select(Number(slider.value)));

  // A chart answers where it is touched: the nearest point becomes the current one.
  for (const chart of charts) {
    const points = all("[data-row]", chart).map((point) => [
      Number(point.dataset.row), Number(point.getAttribute("cx")), Number(point.getAttribute("cy")),
    ]);
    const follow = (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
      let best = [current, Infinity];
      for (const [index, x, y] of points) {
        const distance = Math.hypot(x - at.x, y - at.y);
        if (distance < best[1]) best = [index, distance];
      }
      select(best[0]);
    };
    chart.addEventListener("pointerdown", follow);
    chart.addEventListener("pointermove", (event) => { if (event.buttons & 1) follow(event); });
  }

  // The table: sorted by a column, what is empty last.
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table);
    heads.forEach((head, column) => find("button", head)?.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = find("tbody", table);
      const key = (line) => line.children[column].dataset.value ?? "";
      body.append(...[...body.children].sort((a, b) => {
        const [one, two] = [key(a), key(b)];
        if (one === "" || two === "") return (one === "") - (two === "");
        return down ? two - one : one - two;
      }));
    }));
    table.addEventListener("click", (event) => {
      const line = event.target.closest("tbody tr");
      if (line) select(Number(line.dataset.row));
    });
  }

  // The budget: answered as one types, drawn in the charts, and the dial goes to the answer.
  const budget = makeBudget(data);
  const input = find("#budget");
  const answer = find("#answer");
  const facts = (row) => [
    `${data.metric} ${row.texts.score}`, ...data.costs.map(({ key, unit }) => `${row.texts[key]} ${unit}`),
  ].join(", ");

  function say(state, strong, ...sentences) {
    answer.dataset.state = state;
    delete answer.dataset.confirmed;
    const bold = document.createElement("b");
    bold.textContent = strong;
    answer.replaceChildren(...(strong ? [bold, document.createElement("br")] : []), sentences.join(" "));
  }

  // The choice is confirmed: what it scores on the other cases, and whether it keeps to the limits on the score there.
  function confirm(row, limits) {
    if (!data.confirm) return;
    const [verdict, text] = confirmed(row, limits);
    answer.dataset.confirmed = verdict;
    const line = document.createElement("span");
    line.textContent = `On ${data.confirm.cases}${text}.`;
    answer.append(line);
  }

  function confirmed({ there, texts }, limits) {
    if (!there) return ["unknown", `: ${data.confirm.missing}`];
    if (there.score === null) return ["unknown", `: no case has a ${data.metric}`];
    const bounds = limits.filter(({ key }) => key === "score");
    const missed = bounds.filter((bound) => budget.miss({ values: there }, bound) > 0);
    const interval = `95 % interval ${texts["there-interval"]}`;
    if (!missed.length) {
      const kept = bounds.length ? " the score keeps to its limit too" : "";
      return [bounds.length ? "kept" : "told", `${kept}: ${data.metric} ${texts.there} (${interval})`];
    }
    const short = missed.map(({ sign, asked }) => `not ${sign === "<=" ? "at most" : "at least"} ${asked}`);
    const shown = apart(there, texts.there, missed);
    return ["missed", ` the score misses its limit: there it is ${shown}, ${short.join(" and ")} (${interval})`];
  }

  // A score so near its limit that it would be rounded to it gets as many digits as show which side it is on.
  function apart({ score }, text, limits) {
    let shown = text;
    const hidden = () => limits.some((limit) => budget.miss({ values: { score: Number(shown) } }, limit) === 0);
    for (let digits = 5; digits <= 17 && hidden(); digits += 1) shown = score.toPrecision(digits);
    return shown;
  }

  function respond() {
    let limits = [];
    try {
      limits = budget.parse(input.value);
    } catch (error) {
      drawLimits([]);
      return say("unread", "", error.message);
    }
    drawLimits(limits);
    if (!limits.length) return say("idle", "", "Type limits, or take one of these; the cheapest φ that keeps to them is shown here.");
    const { index, met, why, missed } = budget.choose(limits);
    const row = data.rows[index];
    select(index);
    if (met) {
      const count = met === 1 ? "It is the only one of" : `It has ${why} of the ${met} that keep to this, of`;
      say("met", row.name, `${facts(row)}.`, `${count} ${data.rows.length}${met === 1 ? " that keeps to this." : "."}`);
      return confirm(row, limits);
    }
    const short = missed.map(({ key, name, sign, asked }) => {
      const unit = data.costs.find((cost) => cost.key === key)?.unit;
      return `its ${name} is ${row.texts[key]}${unit ? ` ${unit}` : ""}, not ${sign === "<=" ? "at most" : "at least"} ${asked}`;
    });
    say("unmet", `No φ keeps to this; the nearest is ${row.name}`, `${facts(row)}:`, `${short.join(", and ")}.`);
    return confirm(row, limits);
  }

  function drawLimits(limits) {
    for (const chart of charts) {
      const group = find(".limits", chart);
      const [x, y] = [chart.dataset.x, chart.dataset.y].map((text) => text.split(" ").map(Number));
      const at = ([low, high, start, end], value) => start + ((end - start) * (value - low)) / (high - low);
      const drawn = [];
      for (const { key, value } of limits) {
        const axis = key === "score" ? y : key === chart.dataset.cost ? x : null;
        if (!axis || value < axis[0] || value > axis[1]) continue;
        const [along, across] = key === "score" ? [x, "y"] : [y, "x"];
        const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
        line.setAttribute("class", "limit");
        for (const end of [1, 2]) {
          line.setAttribute(`${across}${end}`, at(axis, value));
          line.setAttribute(`${across === "y" ? "x" : "y"}${end}`, along[1 + end]);
        }
        drawn.push(line);
      }
      group.replaceChildren(...drawn);
    }
  }

  input.addEventListener("input", respond);
  for (const chip of all(".chips button")) {
    chip.addEventListener("click", () => {
      input.value = chip.textContent;
      respond();
    });
  }

  const labels = find("#show-labels");
  labels?.addEventListener("change", () => find(".gallery").classList.toggle("hide-labels", !labels.checked));
  select(data.first);
  respond();
})();

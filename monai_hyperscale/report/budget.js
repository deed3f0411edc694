// Budgets: grammar and choice are those of monai_hyperscale/search/budget.py, which a test holds them to.
const makeBudget = (data) => {
  "use strict";
  const UNITS = {
    latency: { us: 1e-6, "µs": 1e-6, ms: 1e-3, s: 1 },
    memory: { b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 },
    flops: { "": 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 },
    score: { "": 1, "%": 0.01 },
  };
  const spelt = (name) => name.trim().toLowerCase().replace(/[\s-]+/g, "_");
  const metric = spelt(data.metric);
  const known = [...data.costs.map((cost) => cost.key), metric];
  const quantity = (name) => ([metric, data.alias, "score"].includes(name) ? "score" : name);

  function parse(text) {
    const limits = [];
    for (const part of text.split(",")) {
      if (part.trim() === "") continue;
      const found = /^([^<>=≤≥]+)(<=|>=|≤|≥|<|>|=+)\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*([^\s\d]*)\s*$/i.exec(part);
      if (!found) throw new Error(`“${part.trim()}” cannot be read; a limit looks like ${example()}.`);
      limits.push(limit(part.trim(), ...found.slice(1)));
    }
    return limits;
  }

  function limit(part, given, sign, digits, suffix) {
    const name = spelt(given);
    const key = quantity(name);
    if (!known.includes(name) && key !== "score") {
      if (name in UNITS) throw new Error(`${name} was not measured here; there is ${listed(known)}.`);
      const meant = known.find((other) => distance(other, name) <= 2);
      throw new Error(`“${given.trim()}” is not known; ${meant ? `did you mean ${meant}?` : `there is ${listed(known)}.`}`);
    }
    const wanted = key === "score" && data.higher ? ">=" : "<=";
    if (sign.replace("≤", "<=").replace("≥", ">=") !== wanted) {
      throw new Error(`${name} takes ${wanted}, not ${sign}: write ${name}${wanted}${digits}${suffix}.`);
    }
    const number = Number(digits);
    if (!Number.isFinite(number)) throw new Error(`“${digits}” is not a number.`);
    const units = UNITS[key];
    let unit = suffix.toLowerCase();
    if (key === "flops") unit = unit.replace(/flops?$/, "");
    if (key === "score" && !data.higher && ["mm", "px", "voxels"].includes(unit)) unit = "";
    if (!Object.hasOwn(units, unit)) {
      const names = Object.keys(units).filter((one) => one && one !== "us").map(spelled);
      const problem = suffix ? `has the unknown unit “${suffix}”` : "needs a unit";
      throw new Error(`“${part}” ${problem}; ${name} is given in ${listed(names)}.`);
    }
    const value = number * units[unit];
    if (key === "score" && data.higher && value > 1) {
      throw new Error(`${name} is 1 at most, got ${digits}${suffix}; write a share or a percentage (0.9, 90%).`);
    }
    return { key, name, sign: wanted, value, asked: digits + suffix };
  }

  function spelled(unit) {
    return unit.length > 1 && unit.endsWith("b") ? unit[0].toUpperCase() + unit.slice(1, -1) + "B" : unit;
  }

  const example = () => (data.costs.length ? `${data.costs[0].key} ${suggestion(data.costs[0])}` : `${metric} >= 0.8`);
  const suggestion = (cost) => ({ flops: "<= 5G", latency: "<= 40ms", memory: "<= 2GB" })[cost.key];
  const listed = (names) => [names.slice(0, -1).join(", "), names.at(-1)].filter(Boolean).join(" or ");

  // By how much of itself a limit is missed; 0 where it is met.
  function miss(row, { key, sign, value }) {
    const held = row.values[key];
    if (held === null) return Infinity;
    return Math.max(0, sign === "<=" ? held - value : value - held) / (Math.abs(value) || 1);
  }

  // The cheapest row that meets all limits, or the best where only costs are limited; else the nearest.
  function choose(limits) {
    const bounded = limits.map((one) => one.key);
    const aim = bounded.includes("score") ? (bounded.find((key) => key !== "score") ?? data.main ?? "score") : "score";
    const gain = (row) => (row.values.score === null ? Infinity : (data.higher ? -1 : 1) * row.values.score);
    const prices = (row) => ["flops", "latency", "memory"].map((key) => row.values[key] ?? Infinity);
    const rank = (row) => (aim === "score" ? [gain(row), ...prices(row)] : [row.values[aim] ?? Infinity, gain(row)]);
    const total = (row) => limits.reduce((sum, one) => sum + miss(row, one), 0);
    const best = (indices, order) =>
      indices.reduce((a, b) => (compare(order(data.rows[b]), order(data.rows[a])) < 0 ? b : a));
    const every = data.rows.map((_, index) => index);
    const met = every.filter((index) => total(data.rows[index]) === 0 && data.rows[index].values[aim] !== null);
    if (met.length) {
      const cost = data.costs.find((one) => one.key === aim);
      return { index: best(met, rank), met: met.length, why: cost ? `the least ${cost.word}` : `the best ${data.metric}` };
    }
    const index = best(every, (row) => [total(row), ...rank(row)]);
    return { index, met: 0, missed: limits.filter((one) => miss(data.rows[index], one) > 0) };
  }

  function compare(one, other) {
    const place = one.findIndex((value, at) => value !== other[at]);
    return place < 0 ? 0 : one[place] < other[place] ? -1 : 1;
  }

  return { parse, choose, miss };
};

function distance(one, other) {
  let line = [...other].map((_, place) => place + 1);
  line.unshift(0);
  for (let row = 1; row <= one.length; row += 1) {
    const next = [row];
    for (let place = 1; place <= other.length; place += 1) {
      const changed = line[place - 1] + (one[row - 1] !== other[place - 1]);
      next.push(Math.min(changed, line[place] + 1, next[place - 1] + 1));
    }
    line = next;
  }
  return line[other.length];
}

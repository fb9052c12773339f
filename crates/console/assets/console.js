"use strict";
// Draws one picture of the status. All text goes in as text: nothing a unit says can become markup.
(() => {
  const LOST_AFTER_MS = 6000;   // three signs of life missed
  const RETRY_MS = 2000;
  const OLD_PICTURE_MS = 5000;  // the agent lives but has made no new picture for so long
  const byId = (id) => document.getElementById(id);

  function make(tag, className, ...children) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    for (const child of children) if (child !== null && child !== undefined) element.append(child);
    return element;
  }

  // One shape a meaning, so that colour only repeats what shape and word say.
  const SHAPES = {
    disc: [["circle", { cx: 6, cy: 6, r: 5, class: "full" }]],
    ring: [["circle", { cx: 6, cy: 6, r: 4.5 }]],
    half: [["circle", { cx: 6, cy: 6, r: 4.6 }], ["path", { d: "M6 1.4a4.6 4.6 0 0 1 0 9.2z", class: "full" }]],
    warn: [["path", { d: "M6 .8 11.6 11H.4z", class: "full" }]],
    cross: [["path", { d: "M2 2l8 8M10 2l-8 8" }]],
    tick: [["path", { d: "M1.4 6.6 4.6 10 10.6 2.4" }]],
    loop: [["path", { d: "M10 4.2A4.6 4.6 0 1 0 10.6 7M10.4 1v3.4H7" }]],
    dash: [["path", { d: "M2 6h8" }]],
  };
  function mark(shape) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", "0 0 12 12");
    svg.setAttribute("class", "mark");
    svg.setAttribute("aria-hidden", "true");
    for (const [name, attributes] of SHAPES[shape]) {
      const part = document.createElementNS(space, name);
      for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
      svg.append(part);
    }
    return svg;
  }
  const tag = (tone, shape, text) => make("span", `tag ${tone}`, mark(shape), make("span", "", text));

  // Roles of a database's nodes.
  const DATA = ["primary", "standby", "witness"];
  const STATES = {
    ready: ["good", "disc", "ready"],
    starting: ["busy", "half", "starting"],
    unready: ["warn", "warn", "not answering"],
    backoff: ["warn", "loop", "waits to restart"],
    draining: ["busy", "half", "draining"],
    stopping: ["idle", "ring", "stopping"],
    stopped: ["idle", "ring", "stopped"],
    failed: ["bad", "cross", "failed"],
  };

  const ROLLOUTS = [
    ["reached", "good", "tick"],
    ["rolling back", "warn", "loop"],
    ["rolled back", "warn", "warn"],
    ["rolling", "busy", "half"],
  ];

  const known = (value) => typeof value === "number" && Number.isFinite(value);
  const count = (value) => value.toLocaleString("en-US", { maximumFractionDigits: 0 });
  const plural = (value, one, many) => `${count(value)} ${value === 1 ? one : many}`;
  const clock = (ms, seconds = true) => {
    const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    return new Date(ms).toLocaleTimeString("en-GB", seconds ? { ...options, second: "2-digit" } : options);
  };
  // Two digits past the nines, at least two in all, and never rounded up to more than there is. What was asked for is shown
  // as it was asked.
  function percent(value, asked = false) {
    if (value >= 100) return "100 %";
    const nines = Math.floor(-Math.log10(Math.max(1e-12, (100 - value) / 100)) + 1e-9);
    const digits = asked ? 9 : Math.min(9, Math.max(2, nines));
    const scale = 10 ** digits;
    const text = (Math.floor(value * scale + 1e-4) / scale).toFixed(digits);
    return `${asked ? text.replace(/\.?0+$/, "") : text} %`;
  }
  function span(ms) {
    if (!known(ms)) return null;
    if (ms < 1) return "< 1 ms";
    if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
    const short = (value, digits) => value.toFixed(digits).replace(/\.0+$/, "");
    if (ms < 120000) return `${short(ms / 1000, ms < 10000 ? 2 : 1)} s`;
    return `${short(ms / 60000, 1)} min`;
  }
  const usd = (value) => value.toLocaleString("en-US", { maximumFractionDigits: value < 100 ? 2 : 0 });

  function tile(name, value, under, share, tone) {
    const box = make("div", "tile", make("dt", "", name));
    box.append(make("dd", value === null ? "value none" : "value", value ?? "not measured yet"));
    if (under) box.append(make("dd", "under", under));
    if (known(share)) {
      const bar = make("i");
      bar.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
      const gauge = make("dd", `gauge ${tone}`, bar);
      gauge.setAttribute("aria-hidden", "true");
      box.append(gauge);
    }
    return box;
  }

  function objectives(o) {
    const asked = o.availability_percent;
    const now = o.measured_percent;
    const tiles = [];
    const promise = known(asked) ? percent(asked, true) : null;
    const zone = known(o.rto_zone_ms)
      ? `a zone lost: at most ${span(o.rto_zone_ms)}, ` +
        (known(o.measured_rto_zone_ms) ? `drilled ${span(o.measured_rto_zone_ms)}` : "not drilled yet")
      : "availability over a year";
    const first = tile("Availability promised", promise, zone);
    if (promise === null) first.querySelector(".value").textContent = "none asked for";
    tiles.push(first);

    let met = null;
    if (known(asked) && known(now)) met = now >= asked ? tag("good", "tick", "kept") : tag("bad", "cross", "missed");
    const basis = o.requests > 0 ? `of ${plural(o.requests, "request", "requests")}` : "no request yet";
    tiles.push(tile("Availability now", known(now) ? percent(now) : null, make("span", "", met, met ? " " : "", basis)));

    if (known(asked) && known(now) && o.requests > 0) {
      const allowed = o.requests * (100 - asked) / 100;
      const left = allowed > 0 ? 1 - o.errors / allowed : (o.errors ? -1 : 1);
      const tone = left > 0.5 ? "good" : left > 0 ? "warn" : "bad";
      const used = `${plural(o.errors, "error", "errors")} of ${allowed < 10 ? allowed.toFixed(1) : count(allowed)} allowed`;
      const text = left > 0 ? `${Math.floor(left * 100)} %` : "used up";
      tiles.push(tile("Error budget left", text, used, Math.max(0, left), tone));
    } else {
      tiles.push(tile("Error budget left", null, known(asked) ? null : "needs an availability objective"));
    }

    tiles.push(tile("Load now", known(o.rps) ? `${o.rps < 10 ? o.rps.toFixed(1) : count(o.rps)} /s` : null, "requests over all fronts"));

    const budget = o.budget_usd_month;
    const spend = o.planned_usd_month;
    if (known(spend)) {
      const over = known(budget) && spend > budget;
      const under = known(budget)
        ? make("span", "", over ? tag("bad", "cross", "over") : tag("good", "tick", "within"), ` ${usd(budget)} USD a month`)
        : "a month, no budget asked for";
      const share = known(budget) && budget > 0 ? spend / budget : null;
      tiles.push(tile("Spend planned", `${usd(spend)} USD`, under, share, over ? "bad" : "good"));
    } else {
      tiles.push(tile("Spend planned", null, known(budget) ? `budget ${usd(budget)} USD a month` : null));
    }
    byId("objectives").replaceChildren(...tiles);
  }

  function zoneHead(zone, leader) {
    const cell = make("th", zone.alive ? "" : "dark-zone",
      make("span", "zone", `zone ${zone.zone}`),
      zone.alive ? tag("good", "disc", "alive") : tag("bad", "cross", "silent"));
    cell.scope = "col";
    const facts = [];
    if (zone.zone === leader) facts.push("decides for all");
    if (zone.front) facts.push(`front ${zone.front}`);
    cell.append(make("span", "sub", facts.join(" · ") || "no front yet"));
    return cell;
  }

  function unitCell(unit, alive) {
    const cell = make("td", alive ? "" : "dark-zone");
    if (!unit) return cell;
    const [tone, shape, word] = STATES[unit.state] ?? ["idle", "dash", String(unit.state)];
    // Nobody knows what a silent zone's units do now.
    const state = alive ? tag(tone, shape, word) : tag("idle", "dash", `was ${word}`);
    cell.append(make("div", "unit", make("span", "name", unit.name), state));
    const facts = [];
    // Of a database's node its term, vote and lag are what one looks for also when all is well.
    const data = DATA.includes(unit.role);
    if (data && unit.detail && unit.healthy) facts.push(unit.detail);
    if (unit.restarts > 0) facts.push(plural(unit.restarts, "restart", "restarts"));
    const role = make("span", unit.role === "primary" ? "primary" : "", unit.role);
    cell.append(make("div", "facts", role, ...facts.flatMap((fact) => [" · ", fact])));
    if (unit.detail && !unit.healthy) cell.append(make("div", "detail", unit.detail));
    const where = [unit.address && `listens on ${unit.address}`, known(unit.pid) && `process ${unit.pid}`, unit.detail];
    cell.title = where.filter(Boolean).join("\n");
    return cell;
  }

  // Beside a database's name: who may write, in which term, and who must have a write before it counts.
  function standing(database) {
    const facts = [`${database.phase}, term ${database.term}`, database.mode];
    facts.push(database.primary ? `primary ${database.primary}` : "no primary");
    const writes = database.primary && database.phase !== "promoting";
    if (database.need > 0 && writes) facts.push(`acknowledged by ${database.need} of ${database.members.join(", ")}`);
    if (database.mode === "lease" && known(database.rpo_ms)) facts.push(`RTO ${span(database.rto_ms)}, RPO ${span(database.rpo_ms)}`);
    if (known(database.only_here_bytes)) facts.push(`${count(database.only_here_bytes)} bytes on its disk alone`);
    if (!database.healthy && database.phase === "serving") facts.push("takes no writes now");
    return ` · ${facts.join(" · ")}`;
  }

  // An application's own parts, the fronts before them, then its databases and the fronts before those.
  function rank(units) {
    if (units.some((unit) => DATA.includes(unit.role))) return 2;
    if (units.some((unit) => unit.role !== "front")) return 0;
    return units[0].service === "data" ? 3 : 1;
  }

  function zones(status) {
    const table = byId("zones");
    const columns = status.zones;
    byId("no-zones").hidden = columns.length > 0;
    table.parentElement.hidden = columns.length === 0;
    table.style.setProperty("--zones", String(columns.length));
    const head = make("thead", "", make("tr", "", ...columns.map((zone) => zoneHead(zone, status.leader))));
    const living = new Set(columns.filter((zone) => zone.alive).map((zone) => zone.zone));
    const services = new Map();
    for (const unit of status.units) {
      if (!services.has(unit.service)) services.set(unit.service, new Map());
      const byZone = services.get(unit.service);
      if (!byZone.has(unit.zone)) byZone.set(unit.zone, []);
      byZone.get(unit.zone).push(unit);
    }
    const databases = new Map((status.databases ?? []).map((database) => [database.name, database]));
    const bodies = [];
    const groups = [...services].map(([service, byZone]) => [service, byZone, [...byZone.values()].flat()]);
    groups.sort((one, other) => rank(one[2]) - rank(other[2]));
    for (const [service, byZone, all] of groups) {
      const healthy = all.filter((unit) => unit.healthy && living.has(unit.zone)).length;
      const database = databases.get(service);
      const title = make("th", "group",
        `${service}: ${healthy} of ${all.length} healthy${database ? standing(database) : ""}`);
      title.colSpan = Math.max(1, columns.length);
      title.scope = "rowgroup";
      const body = make("tbody", "", make("tr", "", title));
      const height = Math.max(...[...byZone.values()].map((units) => units.length));
      for (let row = 0; row < height; row += 1) {
        body.append(make("tr", "", ...columns.map((zone) => unitCell(byZone.get(zone.zone)?.[row], zone.alive))));
      }
      bodies.push(body);
    }
    table.replaceChildren(head, ...bodies);
  }

  // What somebody must know now: what is wrong since when, what it means, what to do.
  function warnings(status) {
    const list = byId("warnings");
    const all = status.warnings ?? [];
    list.hidden = all.length === 0;
    list.replaceChildren(...all.map((warning) => make("div", "note",
      tag("bad", "warn", `${warning.database}: ${warning.what}`),
      make("span", "", ` since ${clock(warning.since_ms)}`),
      make("div", "", warning.means),
      make("div", "quiet", warning.hint))));
  }

  function verdict(drill) {
    if (drill.not_run) return ["idle", "dash", "not run"];
    if (drill.aborted) return ["warn", "warn", "stopped by its safety limit"];
    if (drill.objectives_met === true) return ["good", "tick", "objectives met"];
    if (drill.objectives_met === false) return ["bad", "cross", "objectives missed"];
    return ["idle", "dash", "no verdict"];
  }

  const VERBS = { kill: "killed", freeze: "frozen", cut: "cut off" };
  function drillCard(drill) {
    const [tone, shape, word] = verdict(drill);
    const [target, kind] = String(drill.fault).split("/");
    const when = make("time", "", `${clock(drill.at_ms)}, ${new Date(drill.at_ms).toLocaleDateString("en-GB", { day: "numeric", month: "short" })}`);
    const head = make("div", "head", tag(tone, shape, word),
      make("span", "what", `${target} ${drill.target} ${VERBS[kind] ?? kind ?? ""}`), when);
    const card = make("li", `drill ${tone}`, head);
    const reasons = [drill.not_run, drill.aborted, ...(drill.missed ?? [])].filter(Boolean);
    if (reasons.length) card.append(make("ul", "", ...reasons.map((text) => make("li", "", text))));
    if (drill.not_run) return card;
    const number = (value) => (known(value) ? count(value) : null);
    // Third: the value breaks a promise whatever the objectives are.
    const facts = [
      ["requests", number(drill.requests)],
      ["failed", number(drill.failed), drill.failed > (drill.unsavable ?? 0)],
      ["unsavable", number(drill.unsavable)],
      ["done twice", number(drill.double_effects), drill.double_effects > 0],
      ["writes lost", number(drill.lost_writes), drill.lost_writes > 0],
      ["without service", span(drill.rto_ms)],
      ["p99 then", span(drill.p99_ms)],
      ["p99 in calm", span(drill.calm_p99_ms)],
      ["full count back", span(drill.full_count_ms)],
    ];
    const list = make("dl", "");
    for (const [name, value, broken] of facts) {
      const shownValue = broken ? tag("bad", "cross", value) : (value ?? "not measured");
      list.append(make("div", "", make("dt", "", name), make("dd", value === null ? "none" : "", shownValue)));
    }
    card.append(list);
    return card;
  }

  function header(status) {
    const place = byId("rollout");
    if (!status.app) {
      place.replaceChildren("evenkeel up applies a file");
      return;
    }
    const [tone, shape] = ROLLOUTS.find(([start]) => status.rollout.startsWith(start))?.slice(1) ?? ["idle", "dash"];
    place.replaceChildren(`plan ${status.plan} `, tag(tone, shape, status.rollout || "no rollout"));
    if (!status.leader) place.append(" ", tag("warn", "warn", "no zone decides now"));
    if (status.entries.length === 0) return;
    place.append(" answers at ");
    status.entries.forEach((entry, index) => {
      const anchor = make("a", "", entry);
      // An address and a port; the server's type lets nothing else through.
      anchor.href = "http://" + entry + "/";
      anchor.rel = "noreferrer noopener";
      place.append(index ? ", " : "", anchor);
    });
  }

  let shown = null;
  function draw(status) {
    shown = status;
    document.title = status.app ? `${status.app} · evenkeel` : "evenkeel";
    byId("app").textContent = status.app || "nothing applied yet";
    header(status);
    byId("single").hidden = status.highly_available !== false;
    warnings(status);
    objectives(status.objectives);
    zones(status);
    byId("drills").replaceChildren(...status.drills.map(drillCard));
    byId("no-drills").hidden = status.drills.length > 0;
  }

  function link(tone, shape, text) {
    const place = byId("link");
    if (place.textContent === text) return;
    place.className = `link ${tone}`;
    place.replaceChildren(mark(shape), make("span", "", text));
    document.body.classList.toggle("lost", tone === "bad");
  }
  const lost = () => link("bad", "cross", `connection lost, showing the last picture of ${clock(shown?.at_ms ?? Date.now(), false)}`);

  let heard = Date.now();
  let source = null;
  function alive(serverMs) {
    heard = Date.now();
    const age = known(serverMs) && shown ? serverMs - shown.at_ms : 0;
    if (age > OLD_PICTURE_MS) link("warn", "warn", `connected, but the picture is from ${clock(shown.at_ms)}`);
    else link("good", "disc", "live");
  }
  function connect() {
    source?.close();
    const mine = new EventSource("/api/events");
    source = mine;
    mine.addEventListener("status", (event) => { draw(JSON.parse(event.data)); alive(); });
    mine.addEventListener("beat", (event) => alive(Number(event.data)));
    mine.onerror = () => {
      lost();
      mine.close();
      if (source === mine) setTimeout(retry, RETRY_MS);
    };
  }
  async function retry() {
    try {
      const answer = await fetch("/api/status", { cache: "no-store" });
      if (answer.status === 401) {
        link("bad", "cross", `signed out, showing the last picture of ${clock(shown.at_ms, false)}; evenkeel status prints a new link`);
        return;
      }
    } catch { /* still gone: connecting says so */ }
    connect();
  }
  // An agent that is frozen keeps its connection open and says nothing; silence is how one sees it.
  setInterval(() => {
    if (Date.now() - heard <= LOST_AFTER_MS) return;
    heard = Date.now();
    lost();
    connect();
  }, 1000);

  draw(JSON.parse(byId("first").textContent));
  link("idle", "half", "connecting");
  connect();
})();

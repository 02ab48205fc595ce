/* The dashboard: asks this node every two seconds, and the others through it, and shows what they say.
 * Everything shown is put in as text, never as HTML: keys and states come from anybody. */
"use strict";

const POLL_MS = 2000;
const POINTS = 90; // three minutes
const FEED_MAX = 60;
const $ = (id) => document.getElementById(id);

/* ---- asking ---------------------------------------------------------------------------------- */

let token = sessionStorage.getItem("token") || "";

function headers(more) {
  return token ? { ...more, Authorization: "Bearer " + token } : { ...more };
}

// An answer with any status; a node that asks for a token gets one from whoever sits here.
async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: headers(options.headers), cache: "no-store" });
  if (answer.status === 401) {
    $("login").hidden = false;
  }
  return answer;
}

async function askJson(path) {
  const answer = await ask(path);
  if (!answer.ok) {
    throw new Error(await problemOf(answer));
  }
  return answer.json();
}

async function problemOf(answer) {
  try {
    const problem = await answer.json();
    return problem.error || problem.detail || problem.title || "status " + answer.status;
  } catch {
    return "status " + answer.status;
  }
}

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

// Server-Sent Events over fetch, because EventSource sends no token and gives up after a 503. Goes on
// until stopped, with the last id that came with a whole event.
function watch(query, hooks) {
  const stop = new AbortController();
  let id = "";
  (async () => {
    while (!stop.signal.aborted) {
      try {
        const answer = await ask("/v1/watch?" + query, {
          signal: stop.signal,
          headers: id ? { "Last-Event-ID": id } : {},
        });
        if (answer.status === 400) {
          hooks.refused(await problemOf(answer));
          return;
        }
        if (!answer.ok) {
          throw new Error(await problemOf(answer));
        }
        await readEvents(answer.body.getReader(), (event) => {
          id = event.id || id;
          if (!event.data) {
            hooks.open();
          } else if (event.type === "reset") {
            hooks.reset();
          } else {
            hooks.change(JSON.parse(event.data));
          }
        });
      } catch {
        // said below; whatever it was, it is tried again
      }
      if (!stop.signal.aborted) {
        hooks.broken();
        await wait(1000);
      }
    }
  })();
  return () => stop.abort();
}

async function readEvents(reader, heard) {
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    text += decoder.decode(value, { stream: true });
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const event = { data: "", id: "", type: "" };
      for (const line of text.slice(0, end).split("\n")) {
        const colon = line.indexOf(": ");
        const name = line.slice(0, colon);
        if (name === "data") event.data = line.slice(colon + 2);
        if (name === "id") event.id = line.slice(colon + 2);
        if (name === "event") event.type = line.slice(colon + 2);
      }
      text = text.slice(end + 2);
      heard(event);
    }
  }
}

/* ---- small things ---------------------------------------------------------------------------- */

function element(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name === "class") made.className = value;
    else if (name === "text") made.textContent = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function svg(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  return made;
}

function short(number) {
  if (!Number.isFinite(number)) return "–";
  if (Math.abs(number) >= 1e6) return (number / 1e6).toFixed(1) + " M";
  if (Math.abs(number) >= 1e4) return (number / 1e3).toFixed(0) + " k";
  if (Math.abs(number) >= 100 || Number.isInteger(number)) return String(Math.round(number));
  return number.toFixed(1);
}

const clock = (time) => new Date(time).toLocaleTimeString([], { hour12: false });

/* ---- metrics --------------------------------------------------------------------------------- */

// Prometheus' text: name{label="value",...} number
function parseMetrics(text) {
  const families = new Map();
  for (const line of text.split("\n")) {
    const found = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!found) continue;
    const labels = {};
    for (const [, name, value] of (found[2] || "").matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[name] = value;
    }
    const value = found[3] === "+Inf" ? Infinity : Number(found[3]);
    if (!families.has(found[1])) families.set(found[1], []);
    families.get(found[1]).push({ labels, value });
  }
  return families;
}

const sum = (families, name) => (families.get(name) || []).reduce((total, row) => total + row.value, 0);

// What a counter has grown by; a node that was started anew begins at 0 again.
function growth(now, before, name) {
  const grown = sum(now, name) - sum(before, name);
  return grown >= 0 ? grown : sum(now, name);
}

function bucketGrowth(now, before, name, into) {
  const old = new Map((before.get(name + "_bucket") || []).map((row) => [row.labels.le, row.value]));
  const restarted = sum(now, name + "_count") < sum(before, name + "_count");
  for (const row of now.get(name + "_bucket") || []) {
    const le = row.labels.le === "+Inf" ? Infinity : Number(row.labels.le);
    const grown = row.value - (restarted ? 0 : old.get(row.labels.le) || 0);
    into.set(le, (into.get(le) || 0) + grown);
  }
}

// In seconds; within a bucket the observations are taken to be spread evenly.
function quantile(buckets, share) {
  const sorted = [...buckets].sort((a, b) => a[0] - b[0]);
  const total = sorted.length ? sorted[sorted.length - 1][1] : 0;
  if (!total) return NaN;
  let low = 0;
  let below = 0;
  for (const [le, count] of sorted) {
    if (count >= total * share) {
      if (le === Infinity) return low;
      return low + ((le - low) * (total * share - below)) / Math.max(count - below, 1);
    }
    low = le;
    below = count;
  }
  return low;
}

/* ---- charts ---------------------------------------------------------------------------------- */

const history = []; // { time, rate, p50, p99, lag, checkpoint }

const charts = [
  { id: "chart-rate", unit: "/s", area: true, series: [["all nodes", "rate"]] },
  { id: "chart-latency", unit: " ms", series: [["p50", "p50"], ["p99", "p99"]] },
  { id: "chart-lag", unit: "", series: [["commands", "lag"], ["PostgreSQL", "checkpoint"]] },
];

const WIDTH = 320;
const HEIGHT = 120;
const LEFT = 34;
const BOTTOM = 16;

function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((top) => top >= value) || 10 * power;
}

function linePath(points, name, top) {
  let path = "";
  points.forEach((point, i) => {
    if (!Number.isFinite(point[name])) return;
    const x = LEFT + ((WIDTH - LEFT - 4) * (POINTS - points.length + i)) / (POINTS - 1);
    const y = 8 + (HEIGHT - BOTTOM - 8) * (1 - point[name] / top);
    const joins = path && Number.isFinite(points[i - 1]?.[name]);
    path += (joins ? "L" : "M") + x.toFixed(1) + " " + y.toFixed(1);
  });
  return path;
}

function drawChart(chart) {
  const used = chart.series.filter(([, name]) => history.some((point) => Number.isFinite(point[name])));
  const most = Math.max(0, ...used.flatMap(([, name]) => history.map((p) => p[name]).filter(Number.isFinite)));
  const top = niceTop(most);
  const last = history[history.length - 1] || {};
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  const said = used.map(([label, name]) => `${label} ${short(last[name])}${chart.unit}`).join(", ");
  picture.setAttribute("aria-label", `now: ${said || "nothing yet"}; most: ${short(most)}${chart.unit}`);
  for (const share of [0, 0.5, 1]) {
    const y = 8 + (HEIGHT - BOTTOM - 8) * (1 - share);
    picture.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - 4, y1: y, y2: y }));
    const label = svg("text", { x: LEFT - 5, y: y + 3.5, "text-anchor": "end" });
    label.textContent = short(top * share);
    picture.append(label);
  }
  for (const [text, x, anchor] of [["3 min ago", LEFT, "start"], ["now", WIDTH - 4, "end"]]) {
    const label = svg("text", { x, y: HEIGHT - 3, "text-anchor": anchor });
    label.textContent = text;
    picture.append(label);
  }
  used.forEach(([, name], i) => {
    const path = linePath(history, name, top);
    if (chart.area && path.includes("L")) {
      const begin = /^M([\d.]+)/.exec(path)[1];
      const bottom = HEIGHT - BOTTOM;
      picture.append(svg("path", { class: "area", d: `${path}L${WIDTH - 4} ${bottom}L${begin} ${bottom}Z` }));
    }
    picture.append(svg("path", { class: `series s${i}`, d: path }));
  });
  const legend = element("ul", { class: "legend" });
  used.forEach(([label, name], i) => {
    const mark = svg("svg", { viewBox: "0 0 16 8", "aria-hidden": "true" });
    mark.append(svg("path", { class: `series s${i}`, d: "M1 4L15 4" }));
    legend.append(element("li", {}, mark, label + " ", element("b", { text: short(last[name]) + chart.unit })));
  });
  const figure = $(chart.id);
  figure.replaceChildren(figure.querySelector("figcaption"), picture, legend);
}

/* ---- the cluster ----------------------------------------------------------------------------- */

const nodes = new Map(); // by id: { metrics, before, beforeAt, at }
let shards = []; // of the whole cluster, as /v1/shards has them

async function askNode(id) {
  const answer = await ask("/v1/nodes/" + encodeURIComponent(id) + "/metrics");
  if (!answer.ok) throw new Error(await problemOf(answer));
  const known = nodes.get(id) || {};
  return { metrics: parseMetrics(await answer.text()), before: known.metrics, beforeAt: known.at, at: Date.now() };
}

function chipOf(row) {
  if (row.state === "self") return ["this node", ""];
  if (row.state === "alive" || row.state === "unwatched") return [row.state === "alive" ? "alive" : "not watched", "good"];
  if (row.state === "dead") return ["dead", "bad"];
  return [row.state, "warn"];
}

const marks = {
  active: ["active", "at work"],
  restoring: ["restoring", "restoring"],
  stopped: ["stopped", "stopped: its node's log says why"],
  unassigned: ["stopped", "on its way to another node"],
  unknown: ["stopped", "not known: its owner does not answer"],
  hot: ["hot", "hot replica"],
  "catching-up": ["catching", "replica catching up"],
};

function shardMark(shard, what) {
  const [style, words] = marks[what] || marks.unknown;
  const progress = what === "restoring" && shard.target > 0 ? Math.floor((100 * shard.restored) / shard.target) : -1;
  const paused = shard.paused ? ", paused" : "";
  const said = `shard ${shard.shard}: ${words}${paused}` + (progress >= 0 ? `, ${Math.min(progress, 100)} %` : "");
  const mark = element("li", { class: "shard " + style + (shard.paused ? " paused" : ""), title: said, "aria-label": said });
  mark.textContent = progress >= 0 ? `${shard.shard} ${Math.min(progress, 100)}%` : shard.shard;
  return mark;
}

function shardList(title, shards) {
  if (!shards.length) return [];
  return [element("h4", { text: `${title} (${shards.length})` }), element("ul", { class: "shards" }, ...shards)];
}

function nodeCard(row, cluster) {
  const [word, style] = chipOf(row);
  const head = element("h3", {}, row.node, element("span", { class: "chip " + style, text: word }));
  if (row.node === cluster.successor && cluster.nodes.length > 1) {
    head.append(element("span", { class: "chip", title: "takes over when another node is found dead", text: "successor" }));
  }
  for (const role of row.roles || []) {
    head.append(element("span", { class: "chip", text: role }));
  }
  const lanes = row.lanes ? ` · ${row.lanes.length} ${row.lanes.length === 1 ? "lane" : "lanes"}` : "";
  const version = row.version ? ` · version ${row.version}` : "";
  const card = element("article", { class: "node" + (row.state === "dead" ? " dead" : "") }, head);
  card.append(element("p", { class: "quiet", text: (row.address || "no API") + lanes + version }));
  if (row.ready === false && row.reason) {
    card.append(element("p", { class: "quiet", text: "Not ready: " + row.reason }));
  }
  const own = shards.filter((shard) => shard.owner?.node === row.node);
  const kept = shards.flatMap((shard) => shard.standbys.filter((it) => it.node === row.node)
    .map((it) => ({ shard: shard.shard, state: it.state })));
  card.append(...shardList("Owns", own.map((shard) => shardMark(shard, shard.state))));
  card.append(...shardList("Keeps a replica of", kept.map((shard) => shardMark(shard, shard.state))));
  if (!own.length && !kept.length) {
    card.append(element("p", { class: "quiet", text: "No shards yet." }));
  }
  return card;
}

function showCluster(cluster) {
  $("nodes").replaceChildren(
    ...cluster.nodes.map((row) => nodeCard(row, cluster)),
  );
  $("where").textContent = `${cluster.application}, seen from ${cluster.node}`;
}

function tile(id, value, note, style) {
  $(id).textContent = value;
  if (note !== undefined) $(id + "-note").textContent = note;
  $(id).parentElement.className = style || "";
}

function showTiles(cluster, answers, point) {
  const count = (state) => shards.filter((shard) => shard.state === state).length;
  const active = count("active");
  const restoring = count("restoring");
  const paused = shards.filter((shard) => shard.paused).length;
  const dead = cluster.nodes.filter((row) => row.state === "dead" || row.state === "suspected").length;
  tile("tile-nodes", cluster.nodes.length, dead ? `${dead} not heard` : "all heard", dead ? "bad" : "");
  tile("tile-shards", `${active} of ${cluster.shards}`, restoring ? `${restoring} restoring` : paused ? `${paused} paused` : "",
       active < cluster.shards ? "warn" : "");
  tile("tile-rate", short(point.rate));
  tile("tile-latency", Number.isFinite(point.p99) ? short(point.p99) + " ms" : "–");
  tile("tile-lag", short(point.lag));
  const letters = [...answers.values()].reduce((total, node) => total + sum(node.metrics, "alluvium_dead_letters_total"), 0);
  tile("tile-dead", short(letters), undefined, letters ? "warn" : "");
}

function showDeadLetters(answers) {
  const rows = [];
  for (const [id, node] of answers) {
    for (const { labels, value } of node.metrics.get("alluvium_dead_letters_total") || []) {
      if (value > 0) {
        rows.push(element("tr", {}, element("td", { text: labels.reason }), element("td", { text: id }),
                          element("td", { class: "number", text: String(value) })));
      }
    }
  }
  $("dead").tBodies[0].replaceChildren(...rows);
  $("dead").hidden = !rows.length;
  $("dead-none").hidden = rows.length > 0;
}

/* ---- dead letters themselves ----------------------------------------------------------------- */

const LETTERS_SHOWN = 50;
const LETTERS_EVERY_MS = 5000;
let lettersAt = 0; // when they were asked for
let lettersFor = -1; // how many there had been by then

function letterRow(letter) {
  const key = element("td");
  if (letter.key) {
    const open = element("button", { type: "button", text: letter.key });
    open.addEventListener("click", () => openEntity(letter.key));
    key.append(open);
  }
  const at = letter.at ? `${letter.at.slice(0, 10)} ${clock(letter.at)}` : "";
  const headers = Object.entries(letter.headers).map(([name, value]) => `${name}: ${value}`).join("\n");
  const state = letter.retried ? "retried" : letter.answered ? "answered" : "";
  return element("tr", { title: `${letter.action}\nfrom ${letter.origin}${headers ? "\n" + headers : ""}` },
                 element("td", { text: at }), element("td", { text: letter.reason }), key,
                 element("td", { text: letter.detail }),
                 element("td", {}, letter.id, ...(state ? [" ", element("span", { class: "chip", text: state })] : [])));
}

// Asked for when there are new ones, and now and then because somebody may have put some back.
async function askLetters(answers) {
  const count = [...answers.values()].reduce((total, node) => total + sum(node.metrics, "alluvium_dead_letters_total"), 0);
  const due = Date.now() - lettersAt > (count === lettersFor ? 6 * LETTERS_EVERY_MS : LETTERS_EVERY_MS);
  if (!due && lettersFor >= 0) return;
  lettersAt = Date.now();
  lettersFor = count;
  try {
    const { letters, more } = await askJson("/v1/dead-letters?limit=" + LETTERS_SHOWN);
    $("letters").tBodies[0].replaceChildren(...letters.map(letterRow));
    $("letters-note").textContent = (more ? `The newest ${letters.length}. ` : "") +
      "alluvium dead-letters show NAME tells more, alluvium dead-letters retry NAME puts one back.";
    $("letters-card").hidden = !letters.length;
  } catch (error) {
    $("letters-note").textContent = `The list cannot be read: ${error.message}`;
  }
}

function showQuarantine() {
  const held = shards.reduce((total, shard) => total + (shard.quarantined || 0), 0);
  $("quarantine").hidden = !held;
  $("quarantine").textContent = held === 1 ? "1 entity is quarantined: alluvium quarantine list tells why."
    : `${held} entities are quarantined: alluvium quarantine list tells why.`;
}

function takePoint(answers) {
  const point = { rate: NaN, p50: NaN, p99: NaN, lag: 0, checkpoint: NaN };
  const buckets = new Map();
  for (const node of answers.values()) {
    point.lag += sum(node.metrics, "alluvium_shard_lag_records");
    if (node.metrics.has("alluvium_checkpoint_lag_records")) {
      point.checkpoint = (point.checkpoint || 0) + sum(node.metrics, "alluvium_checkpoint_lag_records");
    }
    if (node.before) {
      const seconds = (node.at - node.beforeAt) / 1000;
      point.rate = (point.rate || 0) + growth(node.metrics, node.before, "alluvium_commands_total") / seconds;
      bucketGrowth(node.metrics, node.before, "alluvium_command_latency_seconds", buckets);
    }
  }
  point.p50 = quantile(buckets, 0.5) * 1000;
  point.p99 = quantile(buckets, 0.99) * 1000;
  return point;
}

async function look() {
  const [cluster, all] = await Promise.all([askJson("/v1/cluster"), askJson("/v1/shards")]);
  const asked = cluster.nodes.filter((row) => row.state !== "dead").map((row) => row.node);
  const results = await Promise.allSettled(asked.map(askNode));
  const answers = new Map();
  results.forEach((result, i) => {
    if (result.status === "fulfilled") answers.set(asked[i], result.value);
  });
  for (const [id, node] of answers) nodes.set(id, node);
  for (const id of nodes.keys()) {
    if (!asked.includes(id)) nodes.delete(id);
  }
  shards = all;
  const point = takePoint(answers);
  history.push(point);
  if (history.length > POINTS) history.shift();
  showCluster(cluster);
  showTiles(cluster, answers, point);
  showDeadLetters(answers);
  showQuarantine();
  askLetters(answers);
  charts.forEach(drawChart);
}

async function lookForever() {
  for (;;) {
    try {
      await look();
      $("trouble").hidden = true;
    } catch (error) {
      $("trouble").textContent = `This node does not answer (${error.message}). Trying again.`;
      $("trouble").hidden = false;
    }
    await wait(POLL_MS);
  }
}

/* ---- an entity ------------------------------------------------------------------------------- */

let entity = null; // { key, state, stop }

function setLive(text, style) {
  $("live").textContent = text;
  $("live").className = "live " + style;
}

function showState(state, mark) {
  const before = entity.state || {};
  const rows = [];
  const fields = state !== null && typeof state === "object" && !Array.isArray(state) ? state : { state };
  for (const [name, value] of Object.entries(state === null ? {} : fields)) {
    const changed = mark && JSON.stringify(before[name]) !== JSON.stringify(value);
    rows.push(element("tr", { class: changed ? "changed" : "" }, element("th", { scope: "row", text: name }),
                      element("td", { text: typeof value === "string" ? value : JSON.stringify(value) })));
  }
  $("state").tBodies[0].replaceChildren(...rows);
  entity.state = state;
}

function showFacts(type, shard, place) {
  $("found-facts").textContent = `${type}, shard ${shard}${place}`;
}

function showChange(change) {
  showState(change.state, true);
  showFacts(change.type, change.shard, `, offset ${change.offset}`);
  $("found-note").textContent = change.state === null ? `Deleted at ${clock(change.at)}.` : `Changed at ${clock(change.at)}.`;
}

async function readEntity(key) {
  const answer = await ask("/v1/entities/" + encodeURIComponent(key));
  if (!entity || entity.key !== key) return;
  if (answer.ok) {
    const found = await answer.json();
    showState(found.state, false);
    const owner = shards.find((shard) => shard.shard === found.shard)?.owner;
    showFacts(found.type, found.shard, owner ? `, on ${owner.node}` : "");
    $("found-note").textContent = "";
  } else {
    showState(null, false);
    $("found-facts").textContent = "";
    $("found-note").textContent = answer.status === 404
      ? "There is no such entity yet. It will be shown as soon as there is." : await problemOf(answer);
  }
}

// Watched first and read then, so that nothing between the two is missed.
function openEntity(key) {
  if (entity) entity.stop();
  entity = { key, state: null };
  $("found").hidden = false;
  $("nothing").hidden = true;
  $("found-key").textContent = key;
  $("reply").textContent = "";
  $("key").value = key;
  setLive("connecting", "");
  let seen = false;
  entity.stop = watch("key=" + encodeURIComponent(key), {
    open: () => {
      setLive("watching", "on");
      if (!seen) readEntity(key).catch(() => {});
      seen = true;
    },
    change: showChange,
    reset: () => readEntity(key).catch(() => {}),
    broken: () => setLive("connecting again", "off"),
    refused: (why) => {
      setLive("not watched", "off");
      $("found-note").textContent = why;
    },
  });
}

$("lookup").addEventListener("submit", (event) => {
  event.preventDefault();
  openEntity($("key").value.trim());
});

/* ---- a command ------------------------------------------------------------------------------- */

let attempt = null; // { text, id }: what was sent with an unknown outcome goes with the same id again

function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function reply(text, style) {
  $("reply").textContent = text;
  $("reply").className = style;
}

function readCommand() {
  const text = $("command-fields").value.trim() || "{}";
  const fields = JSON.parse(text);
  if (fields === null || typeof fields !== "object" || Array.isArray(fields)) {
    throw new Error("the fields are not a JSON object");
  }
  return JSON.stringify({ type: $("command-type").value.trim(), ...fields });
}

async function sendCommand(key, text) {
  if (!attempt || attempt.text !== key + text) {
    attempt = { text: key + text, id: randomId() };
  }
  const answer = await ask("/v1/entities/" + encodeURIComponent(key) + "/commands", {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": attempt.id },
    body: text,
  });
  if (answer.ok) {
    const done = await answer.json();
    attempt = null;
    reply("Committed: " + JSON.stringify(done.reply), "good");
  } else {
    if (answer.status !== 504) attempt = null;
    reply(`${answer.status}: ${await problemOf(answer)}`, "bad");
  }
}

$("command").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter || $("command").querySelector("button");
  button.disabled = true;
  reply("Sending …", "");
  try {
    await sendCommand(entity.key, readCommand());
  } catch (error) {
    reply(error instanceof SyntaxError ? "The fields are not JSON: " + error.message : "Not sent, or nobody knows: " + error.message, "bad");
  }
  button.disabled = false;
});

/* ---- the feed -------------------------------------------------------------------------------- */

let stopFeed = null;
const feedStates = new Map(); // the last state of each key that was shown, oldest first

function feedNote(text) {
  $("feed-note").textContent = text;
}

// What is new in it; all that is not null when nothing is known of before.
function summary(change) {
  const before = feedStates.get(change.key);
  feedStates.delete(change.key);
  feedStates.set(change.key, change.state);
  if (feedStates.size > 1000) feedStates.delete(feedStates.keys().next().value);
  if (change.state === null) return "deleted";
  if (typeof change.state !== "object" || Array.isArray(change.state)) return JSON.stringify(change.state);
  return Object.entries(change.state)
    .filter(([name, value]) => (before ? JSON.stringify(before[name]) !== JSON.stringify(value) : value !== null))
    .map(([name, value]) => `${name} ${JSON.stringify(value)}`)
    .join("  ");
}

function feedLine(change) {
  const open = element("button", { type: "button", text: change.key });
  open.addEventListener("click", () => {
    openEntity(change.key);
    $("key").focus();
  });
  return element("li", {}, element("time", { datetime: change.at, text: clock(change.at) }), open,
                 element("span", { text: summary(change) }));
}

function startFeed(pattern) {
  $("feed").replaceChildren();
  feedStates.clear();
  $("feed-button").textContent = "Stop";
  feedNote("Connecting …");
  stopFeed = watch("pattern=" + encodeURIComponent(pattern), {
    open: () => feedNote($("feed").children.length ? "" : "Watching. Nothing has changed yet."),
    change: (change) => {
      feedNote("");
      $("feed").prepend(feedLine(change));
      if ($("feed").children.length > FEED_MAX) $("feed").lastChild.remove();
    },
    reset: () => feedNote("Some changes may be missing here."),
    broken: () => feedNote("The connection broke; connecting again."),
    refused: (why) => {
      endFeed();
      feedNote(why);
    },
  });
}

function endFeed() {
  stopFeed();
  stopFeed = null;
  $("feed-button").textContent = "Watch";
  feedNote("Stopped.");
}

$("feed-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (stopFeed) endFeed();
  else startFeed($("pattern").value.trim());
});

/* ---- colours and tokens ---------------------------------------------------------------------- */

const themes = { auto: ["Auto", "as the system"], light: ["Light", "light"], dark: ["Dark", "dark"] };

function setTheme(name) {
  const [label, words] = themes[name] || themes.auto;
  if (name === "light" || name === "dark") document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  $("theme").textContent = label;
  $("theme").setAttribute("aria-label", "Colours: " + words);
  localStorage.setItem("theme", name);
}

$("theme").addEventListener("click", () => {
  const order = Object.keys(themes);
  setTheme(order[(order.indexOf(localStorage.getItem("theme") || "auto") + 1) % order.length]);
});

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value;
  sessionStorage.setItem("token", token);
  $("token").value = "";
  $("login").hidden = true;
});

setTheme(localStorage.getItem("theme") || "auto");
charts.forEach(drawChart);
lookForever();

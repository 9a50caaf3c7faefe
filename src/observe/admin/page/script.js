
"use strict";

const INTERVAL = 1500;
const byId = (id) => document.getElementById(id);

/** Sets a text only where it is another, so that selections and screen readers are left alone. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function element(name, attributes = {}) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

/** Makes `parent` have `count` children, made by `make`. */
function resize(parent, count, make) {
  while (parent.children.length > count) parent.lastElementChild.remove();
  while (parent.children.length < count) parent.append(make());
}

/** An empty table with these columns. The roles stay when a narrow window lays it out as cards. */
function table(columns) {
  const node = element("table", { role: "table" });
  const caption = node.createCaption();
  caption.append(element("strong"), element("span"));
  const head = element("thead", { role: "rowgroup" });
  const row = element("tr", { role: "row" });
  for (const [label, kind] of columns) {
    const cell = element("th", { scope: "col", role: "columnheader", class: kind });
    cell.textContent = label;
    row.append(cell);
  }
  head.append(row);
  node.append(head, element("tbody", { role: "rowgroup" }));
  return node;
}

function fill(node, columns, title, details, rows) {
  const [strong, span] = node.caption.children;
  say(strong, title);
  say(span, details);
  const body = node.tBodies[0];
  resize(body, rows.length, () => {
    const row = element("tr", { role: "row" });
    for (const [label, kind] of columns) {
      row.append(element("td", { role: "cell", class: kind, "data-label": label }));
    }
    return row;
  });
  rows.forEach((cells, r) => cells.forEach((cell, c) => {
    const { text, kind, button } = typeof cell === "object" ? cell : { text: String(cell), kind: "" };
    const td = body.rows[r].cells[c];
    if (td.children.length === 0) td.append(element(button ? "button" : "span"));
    const content = td.firstElementChild;
    say(content, text);
    content.className = kind;
    if (button) {
      content.setAttribute("aria-label", `${text} ${button.endpoint}`);
      content.onclick = () => post(button.path, button.endpoint);
    }
  }));
}

const ENDPOINTS = [["Endpoint", ""], ["Health", ""], ["In flight", "number"], ["Requests", "number"], ["Failures", "number"], ["Ejections", "number"]];
const SERVICE = [["Service", ""]];
const RULES = [["Rule", ""], ["Conditions", ""], ["Target", ""], ["Weight", "number"], ["Share now", "number"], ["Counted", "number"], ["Requests", "number"]];

const percent = (value) => value === null ? "–" : `${Math.round(value * 10) / 10} %`;

function health(endpoint) {
  const wait = endpoint.ejected_for_seconds;
  const time = endpoint.health === "ejected" && wait !== null ? `, ${Math.ceil(wait)} s left` : "";
  const kind = { healthy: "good", ejected: "bad", unhealthy: "bad" }[endpoint.health] ?? "warn";
  return { text: endpoint.health + time, kind };
}

/** Takes an endpoint out of service, or puts it back. */
function service(endpoint) {
  const path = endpoint.health === "draining" ? "_undrain" : "_drain";
  const text = path === "_drain" ? "Drain" : "Undrain";
  return { text, kind: "", button: { path, endpoint: endpoint.uri } };
}

async function post(path, endpoint) {
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ endpoint }),
    });
    if (!response.ok) throw new Error((await response.json()).error.message);
    await refresh();
  } catch (error) {
    say(byId("status"), `Not done: ${error.message}`);
    byId("status").className = "bad";
  }
}

function endpointRow(endpoint) {
  const { uri, name, weight, in_flight, max_in_flight } = endpoint;
  const called = name === undefined ? uri : `${name}, ${uri}`;
  return [
    weight === 1 ? called : `${called} (weight ${weight})`,
    health(endpoint),
    max_in_flight === null ? in_flight : `${in_flight} of ${max_in_flight}`,
    endpoint.requests,
    endpoint.failures,
    endpoint.ejections,
  ];
}

function ruleRows(rule) {
  const conditions = rule.conditions.join(" and ") || "always";
  return rule.targets.map((target) => [
    rule.name,
    conditions,
    target.fallback ? `${target.model_server} (fallback)` : target.model_server,
    target.weight ?? "–",
    percent(target.current_share),
    percent(target.counted_share),
    target.requests,
  ]);
}

const FIGURES = [["Requests/s", "number"], ["Head", "number"], ["First token", "number"], ["Input/s", "number"], ["Output/s", "number"], ["Errors", ""]];
const BY_ROUTE = [["Route", ""], ...FIGURES];
const BY_SERVER = [["Server", ""], ...FIGURES];
const LIMITS = [["Route", ""], ["Limit", ""], ["Allowed", "number"], ["Refused", "number"], ["Only observed", "number"]];

/** Two digits at least, and no more behind the point than that needs. */
const digits = (value) => value.toLocaleString(undefined, value < 100 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: 0 });

/** The percentiles 50, 90 and 99, in one unit. */
function times({ p50, p90, p99 }) {
  if (p99 === null) return "–";
  const [factor, unit] = p99 < 1 ? [1000, "ms"] : [1, "s"];
  return `${[p50, p90, p99].map((time) => Number((time * factor).toPrecision(2))).join("\u00a0/\u00a0")}\u00a0${unit}`;
}

/** Estimated ones behind the exact ones. */
function tokens({ exact, estimated }) {
  return estimated === 0 ? digits(exact) : `${digits(exact)} + ~${digits(estimated)}`;
}

function figuresRow(name, figures) {
  const errors = Object.entries(figures.errors).map(([code, count]) => `${code} ${count}`);
  return [
    name,
    digits(figures.requests_per_second),
    times(figures.to_head_seconds),
    times(figures.to_first_token_seconds),
    tokens(figures.input_tokens_per_second),
    tokens(figures.output_tokens_per_second),
    { text: errors.join(", "), kind: errors.length ? "warn" : "" },
  ];
}

/** What the gateway has done in the last minute, if somebody keeps it. */
function showRecent(recent) {
  byId("recent").hidden = recent === null;
  if (recent === null) return;
  const { all, unrouted } = recent;
  const named = (row) => figuresRow(row.name, row);
  const routes = [figuresRow("all", all), ...recent.routes.map(named)];
  if (unrouted.requests) routes.push(figuresRow("no route", unrouted));
  const seconds = Math.round(recent.seconds);
  const tables = [
    [BY_ROUTE, "By route", `The last ${seconds} s; a request counts when it has ended. Head and first token: what 50, 90 and 99 % of the engines' answers do not exceed. Input and output are tokens; those with ~ are estimated.`, routes],
  ];
  if (recent.model_servers.length) tables.push([BY_SERVER, "By model server", "", recent.model_servers.map(named)]);
  if (recent.limits.length) {
    const limit = ({ route, limit, allowed, refused, observed }) =>
      [route, limit, allowed, { text: String(refused), kind: refused ? "warn" : "" }, observed];
    tables.push([LIMITS, "Limits", "", recent.limits.map(limit)]);
  }
  const load = byId("load");
  // A table keeps its columns.
  tables.forEach(([columns], i) => {
    if (load.children[i]?.tHead.rows[0].cells.length !== columns.length) {
      const fresh = table(columns);
      if (load.children[i]) load.children[i].replaceWith(fresh);
      else load.append(fresh);
    }
  });
  while (load.children.length > tables.length) load.lastElementChild.remove();
  tables.forEach(([columns, title, details, rows], i) => fill(load.children[i], columns, title, details, rows));
}

function showWarnings(lints) {
  byId("warnings").hidden = lints.length === 0;
  resize(byId("lints"), lints.length, () => element("li"));
  lints.forEach(({ code, place, message }, i) => say(byId("lints").children[i], `${place}: ${message} [${code}]`));
}

function show(view) {
  showWarnings(view.lints);
  showRecent(view.recent);
  const servers = byId("servers");
  const columns = view.read_only ? ENDPOINTS : [...ENDPOINTS, ...SERVICE];
  resize(servers, view.model_servers.length, () => table(columns));
  view.model_servers.forEach((server, i) => {
    const model = server.model === null ? "the client's name of the model" : server.model;
    const details = `${model}; ${server.balance}; ${server.policy}`;
    const row = (endpoint) => view.read_only ? endpointRow(endpoint) : [...endpointRow(endpoint), service(endpoint)];
    fill(servers.children[i], columns, server.name, details, server.endpoints.map(row));
  });
  const routes = byId("routes");
  resize(routes, view.routes.length, () => table(RULES));
  view.routes.forEach((route, i) => {
    const names = [];
    if (route.model_name !== null) names.push(`model ${route.model_name}`);
    if (route.lora_adapters.length) names.push(`LoRA adapters ${route.lora_adapters.join(", ")}`);
    fill(routes.children[i], RULES, route.name, names.join("; "), route.rules.flatMap(ruleRows));
  });
  const { at, error } = view.reload;
  const reloaded = at === null ? "" : `Reloaded ${new Date(at * 1000).toLocaleString()}`;
  say(byId("reload"), error === null ? reloaded : `${reloaded} The last reload failed: ${error}`.trim());
  byId("reload").className = error === null ? "dim" : "bad";
}

let lost = null;

/** Says whether the picture is live, or since when it is not. */
function tell(error) {
  lost = error === null ? null : lost ?? new Date();
  document.body.classList.toggle("lost", lost !== null);
  // This is announced, and so it stays the same while nothing changes.
  say(byId("status"), lost === null ? "Live" : `Lost the gateway at ${lost.toLocaleTimeString()}, and trying again: ${error.message}`);
  byId("status").className = lost === null ? "good" : "bad";
}

async function refresh() {
  try {
    const response = await fetch("_routes", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!response.ok) throw new Error(`the gateway answers ${response.status}`);
    show(await response.json());
    tell(null);
    say(byId("updated"), `Updated ${new Date().toLocaleTimeString()}`);
  } catch (error) {
    tell(error);
  }
}

async function poll() {
  if (!document.hidden) await refresh();
  setTimeout(poll, INTERVAL);
}

/** `name: value` on each line, as JSON. */
function headers(text) {
  const all = {};
  for (const line of text.split("\n").filter((line) => line.trim())) {
    const colon = line.indexOf(":");
    if (colon < 1) throw new Error(`not a header: ${line}`);
    const name = line.slice(0, colon).trim().toLowerCase();
    (all[name] ??= []).push(line.slice(colon + 1).trim());
  }
  return all;
}

byId("explain").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  try {
    const question = { path: form.get("path"), headers: headers(form.get("headers")) };
    if (form.get("model")) question.model = form.get("model");
    const response = await fetch("_explain", {
      method: "POST",
      headers: { accept: "text/plain", "content-type": "application/json" },
      body: JSON.stringify(question),
    });
    const text = await response.text();
    say(byId("explanation"), response.ok ? text : JSON.parse(text).error.message);
  } catch (error) {
    say(byId("explanation"), error.message);
  }
});

poll();

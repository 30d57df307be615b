// Renders openapi.json as a list of routes. Text only goes in by textContent: nothing in the document is markup.
"use strict";

const element = (name, text, ...children) => {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
};

const resolve = (schema, all) => (schema && schema.$ref ? all[schema.$ref.split("/").pop()] : schema) || {};

const kind = (schema, all) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return [...new Set(schema.anyOf.map((one) => kind(one, all)))].join(" or ");
  if (schema.type === "array") return `list of ${kind(schema.items, all)}`;
  return schema.format || schema.type || "any";
};

const rows = (items) => {
  const table = element("table");
  for (const [name, type, text] of items) {
    table.append(element("tr", "", element("td", "", element("code", name)), element("td", type), element("td", text)));
  }
  return table;
};

const EXAMPLES = {
  "post /v1/timers": { name: "tea", after: "4m", actions: [{ url: "http://127.0.0.1:9000/hook" }] },
  "post /v1/timers/preview": { after: "1h", retry: { attempts: 4 } },
  "post /v1/timers/{id}/snooze": { after: "10m" },
  "patch /v1/timers/{id}": { after: "2h", labels: { team: "ops" } },
  "post /v1/secrets": { name: "orders" },
  "post /v1/dead-letters/replay": { error: "timeout" },
};

const curl = (method, path) => {
  const body = EXAMPLES[`${method} ${path}`];
  const parts = [`curl -sS ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${location.origin}${path}`];
  if (body) parts.push(`-H 'content-type: application/json'`, `-d '${JSON.stringify(body)}'`);
  return parts.join(" \\\n  ");
};

const route = (method, path, operation, all) => {
  const summary = element("summary", "", element("b", method.toUpperCase()), element("code", path));
  const box = element("details", "", summary, element("p", operation.description || operation.summary));
  box.dataset.text = `${method} ${path} ${operation.description}`.toLowerCase();
  box.append(element("pre", curl(method, path)));
  const parameters = (operation.parameters || []).map((one) => [one.name, kind(one.schema, all), one.description]);
  if (parameters.length) box.append(element("h4", "Parameters"), rows(parameters));
  const body = resolve(operation.requestBody?.content?.["application/json"]?.schema, all);
  if (body.properties) {
    const needed = new Set(body.required || []);
    const fields = Object.entries(body.properties).map(([name, schema]) => [
      needed.has(name) ? `${name} *` : name, kind(schema, all), schema.description,
    ]);
    box.append(element("h4", "Body"), rows(fields));
  }
  const answers = Object.entries(operation.responses).map(([status, answer]) => [status, "", answer.description]);
  box.append(element("h4", "Answers"), rows(answers));
  return box;
};

const show = (api) => {
  document.getElementById("version").textContent = api.info.version;
  const main = document.getElementById("routes");
  main.replaceChildren();
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const tag = (operation.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, element("section", "", element("h2", tag)));
      groups.get(tag).append(route(method, path, operation, api.components.schemas));
    }
  }
  main.append(...groups.values());
};

document.getElementById("search").addEventListener("input", (event) => {
  for (const box of document.querySelectorAll("details")) {
    box.hidden = !box.dataset.text.includes(event.target.value.toLowerCase());
  }
});

fetch("/openapi.json").then((answer) => answer.json()).then(show);

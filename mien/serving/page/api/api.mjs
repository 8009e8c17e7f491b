// The page of the API: made of the server's own OpenAPI document, each request to be tried.
import { h } from "../dom.mjs";
import { applyTheme } from "../settings.mjs";

const $ = (id) => document.getElementById(id);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
applyTheme();

const authorization = () => ($("token").value ? { Authorization: `Bearer ${$("token").value}` } : {});

async function load() {
  const answer = await fetch("v1/openapi.json", { headers: authorization() });
  if (answer.status === 401) {
    $("token-field").hidden = false;
    $("about").textContent = "This server asks for a token before it describes itself.";
    return;
  }
  const found = await answer.json();
  $("about").replaceChildren(...prose(found.info.description));
  $("operations").replaceChildren(
    ...Object.entries(found.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => card(path, method.toUpperCase(), operation))),
  );
}
$("token").addEventListener("change", load);

function card(path, method, operation) {
  const parameters = operation.parameters ?? [];
  const content = operation.requestBody?.content;
  const out = h("pre", { hidden: true, tabindex: "0", role: "region", "aria-label": `Answer to ${method} ${path}` });
  const status = h("p", { class: "fine", role: "status" }); // who listens hears this, and reads on when they like
  const inputs = new Map(parameters.map((parameter) => [parameter.name, input(parameter)]));
  const file = content && h("input", { type: "file", "aria-label": "Picture", multiple: !content["image/jpeg"], required: true });
  const submit = async (event) => {
    event.preventDefault();
    status.textContent = "Asking…";
    out.textContent = await ask(path, method, inputs, parameters, file, content).catch(String);
    out.hidden = false;
    status.textContent = `Answer: ${out.textContent.split("\n")[0]}`;
  };
  return h("section", { class: "card operation" },
    h("h2", {}, `${method} ${path}`),
    h("p", {}, prose(operation.description ?? operation.summary)),
    parameters.length > 0 && h("div", { class: "scroll", tabindex: "0" }, table(["Parameter", "Values", "Meaning"], parameters.map((one) => [
      h("code", {}, one.name), values(one.schema), [prose(one.description ?? one.schema.description ?? ""), one.required ? " (required)" : ""]]))),
    content && h("p", { class: "fine" }, `${operation.requestBody.description} ${Object.keys(content).join(", ")}`),
    h("details", {}, h("summary", {}, "Answers"), table(["Status", "Meaning"], Object.entries(operation.responses).map(([status, one]) => [status, one.description]))),
    h("p", {}, h("code", {}, curl(path, method, content, parameters))),
    h("form", { onsubmit: submit }, file, [...inputs].map(([name, element]) => h("label", { class: "field" }, name, element)),
      h("button", { class: "button", type: "submit" }, "Try it")),
    status, out);
}

// Text with `code` in it.
const prose = (text) => text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));

const table = (heads, rows) => h("table", {},
  h("thead", {}, h("tr", {}, heads.map((head) => h("th", {}, head)))),
  h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell))))));

const choices = (schema) => schema.enum ?? schema.anyOf?.find((one) => one.enum)?.enum;

function values(schema) {
  const found = choices(schema);
  if (found) return found.map((one) => (one === schema.default ? `${one} (default)` : one)).join(", ");
  const kind = schema.type ?? schema.anyOf?.map((one) => one.type).filter((one) => one !== "null").join(" or ");
  return (schema.default ?? "") === "" ? kind : `${kind}, ${schema.default} by default`;
}

function input({ schema, required }) {
  const found = choices(schema);
  if (found) return h("select", {}, found.map((one) => h("option", { value: one, selected: one === schema.default }, one)));
  return h("input", { type: "text", required, value: String(schema.default ?? "") });
}

function curl(path, method, content, parameters) {
  const query = parameters.filter((one) => one.required && one.in === "query").map(({ name }) => `${name}=${name.toUpperCase()}`).join("&");
  const body = !content ? "" : content["image/jpeg"] ? " --data-binary @photo.jpg" : " -F file=@one.jpg -F file=@two.jpg";
  const token = $("token").value ? ' -H "Authorization: Bearer $MIEN_TOKEN"' : "";
  const address = new URL(".", location.href).href + path.slice(1); // below a path too, behind a proxy
  return `curl${token}${method === "GET" || body ? "" : ` -X ${method}`}${body} ${query ? `"${address}?${query}"` : address}`;
}

async function ask(path, method, inputs, parameters, file, content) {
  const query = new URLSearchParams();
  let filled = path;
  for (const { name, in: place } of parameters) {
    const value = inputs.get(name).value;
    if (place === "path") filled = filled.replace(`{${name}}`, encodeURIComponent(value));
    else if (value) query.set(name, value);
  }
  let body;
  if (file && content["image/jpeg"]) body = file.files[0];
  else if (file) {
    body = new FormData();
    for (const one of file.files) body.append("file", one);
  }
  const answer = await fetch(`${filled.slice(1)}${query.size ? `?${query}` : ""}`, { method, body, headers: authorization() });
  return `${answer.status} ${answer.statusText}\n${JSON.stringify(await answer.json(), null, 1)}`;
}

load();

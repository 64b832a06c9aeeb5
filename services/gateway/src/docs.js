// Renders /openapi.json: operations with a form to try them, and schemas. Everything is set as text, never as markup.
'use strict';

const make = (tag, text, ...children) => {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
};
const byId = (id) => document.getElementById(id);

let api;
const resolve = (schema) =>
  schema && schema.$ref ? schema.$ref.slice(2).split('/').reduce((node, name) => node[name], api) : schema;
const schemaName = (schema) => schema.$ref.split('/').pop();

function typeOf(schema) {
  if (!schema) return '';
  if (schema.$ref) {
    const link = make('a', schemaName(schema));
    link.href = '#schema-' + schemaName(schema);
    return link;
  }
  if (schema.type === 'array') return make('span', 'list of ', typeOf(schema.items));
  if (schema.enum) return schema.enum.join(' | ');
  if (schema.additionalProperties && schema.additionalProperties !== true) {
    return make('span', 'map of ', typeOf(schema.additionalProperties));
  }
  return [].concat(schema.type || 'any').join(' | ') + (schema.format ? ' (' + schema.format + ')' : '');
}

function fields(schema) {
  const table = make('table', '');
  const required = schema.required || [];
  for (const [name, field] of Object.entries(schema.properties || {})) {
    const marks = [required.includes(name) && 'required', field.readOnly && 'read only', field.writeOnly && 'write only'];
    const type = make('td', '', typeOf(field));
    const note = make('td', [marks.filter(Boolean).join(', '), field.description].filter(Boolean).join('. '));
    note.className = 'prose';
    table.append(make('tr', '', make('td', '', make('code', name)), type, note));
  }
  return table;
}

// An example of what a schema describes, from its required fields.
function example(schema, depth) {
  const real = resolve(schema) || {};
  if (real.properties) {
    const names = real.required || [];
    return Object.fromEntries(names.map((name) => [name, depth > 4 ? null : example(real.properties[name], depth + 1)]));
  }
  if (real.type === 'array') return [real.items && real.items.type === 'string' ? 'https://example.com/' : example(real.items, depth + 1)];
  if (real.enum) return real.enum[1] || real.enum[0];
  return { integer: 0, number: 0, boolean: false, object: {} }[real.type] ?? '';
}

async function show(response, output) {
  output.textContent = response.status + ' ' + response.statusText + '\n';
  for (const name of ['content-type', 'x-request-id', 'retry-after']) {
    if (response.headers.has(name)) output.textContent += name + ': ' + response.headers.get(name) + '\n';
  }
  output.textContent += '\n';
  const json = /json$/.test((response.headers.get('content-type') || '').split(';')[0]);
  if (json) {
    const text = await response.text();
    try { output.textContent += JSON.stringify(JSON.parse(text), null, 2); } catch { output.textContent += text; }
    return;
  }
  // Streams are shown as they come, up to a limit.
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  for (let size = 0; size < 1 << 20;) {
    const { done, value } = await reader.read();
    if (done) return;
    size += value.length;
    output.textContent += decoder.decode(value, { stream: true });
  }
  output.textContent += '\n… more is not shown';
  await reader.cancel();
}

function form(path, method, operation) {
  const box = make('div', '');
  const inputs = [];
  for (const parameter of operation.parameters || []) {
    const input = make('input', '');
    input.setAttribute('aria-label', parameter.name);
    inputs.push([parameter, input]);
    const label = parameter.name + ' (' + parameter.in + (parameter.required ? ', required)' : ')');
    box.append(make('label', label, input));
    if (parameter.description) box.append(make('p', parameter.description));
  }
  const content = operation.requestBody && operation.requestBody.content['application/json'];
  const body = content && make('textarea', JSON.stringify(example(content.schema, 0), null, 2));
  if (body) {
    body.spellcheck = false;
    box.append(make('label', 'Body ', typeOf(content.schema), body));
    if (content.schema.properties) box.append(fields(content.schema));
  }
  const button = make('button', 'Send');
  const output = make('pre', '');
  output.hidden = true;
  button.addEventListener('click', async () => {
    let url = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const [parameter, input] of inputs) {
      if (parameter.in === 'path') url = url.replace('{' + parameter.name + '}', encodeURIComponent(input.value));
      else if (input.value === '') continue;
      else if (parameter.in === 'header') headers[parameter.name] = input.value;
      else query.append(parameter.name, input.value);
    }
    if (byId('key').value) headers['x-api-key'] = byId('key').value;
    if (body) headers['content-type'] = 'application/json';
    output.hidden = false;
    output.textContent = '…';
    try {
      const options = { method: method.toUpperCase(), headers, credentials: 'omit', body: body && body.value };
      await show(await fetch(url + (query.size ? '?' + query : ''), options), output);
    } catch (error) {
      output.textContent = String(error);
    }
  });
  box.append(button, output);
  return box;
}

function operation(path, method, described) {
  const summary = make('summary', '', make('b', method.toUpperCase()), make('code', path), make('span', described.summary));
  const inside = make('div', '');
  if (described.description) {
    const text = make('p', described.description);
    text.className = 'prose';
    inside.append(text);
  }
  for (const [status, answer] of Object.entries(described.responses || {})) {
    const real = resolve(answer);
    const types = Object.entries(real.content || {}).map(([media, content]) => make('span', ' ' + media + ' ', typeOf(content.schema)));
    inside.append(make('p', status + ': ' + real.description, ...types));
  }
  inside.append(form(path, method, described));
  const details = make('details', '', summary, inside);
  details.id = 'operation-' + described.operationId;
  return details;
}

async function start() {
  api = await (await fetch('/openapi.json')).json();
  byId('title').textContent = api.info.title + ' API ' + api.info.version;
  byId('about').textContent = api.info.description;
  const groups = {};
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, described] of Object.entries(methods)) {
      (groups[described.tags[0]] ||= []).push(operation(path, method, described));
    }
  }
  const main = byId('operations');
  main.replaceChildren();
  for (const [tag, items] of Object.entries(groups)) main.append(make('h2', tag), ...items);
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    const details = make('details', '', make('summary', '', make('code', name)), make('div', schema.description, fields(schema)));
    details.id = 'schema-' + name;
    byId('schemas').append(details);
  }
}

// A link to a schema opens it.
window.addEventListener('hashchange', () => {
  const target = byId(decodeURIComponent(location.hash.slice(1)));
  if (target) target.open = true;
});

start().catch((error) => { byId('operations').textContent = 'The description cannot be read: ' + error; });

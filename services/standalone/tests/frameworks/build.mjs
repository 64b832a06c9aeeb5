// Builds the pages into a folder: `node build.mjs OUT`. One folder for each page, the scripts that they share beside them.
import {mkdir, readFile, rm, writeFile} from 'node:fs/promises';
import {join, resolve} from 'node:path';
import {pathToFileURL} from 'node:url';
import * as esbuild from 'esbuild';
import {compile, compileModule} from 'svelte/compiler';
import {facts, paragraphs, short, title} from './src/article.js';

const out = resolve(process.argv[2] ?? 'out');
const here = new URL('.', import.meta.url).pathname;
const source = name => join(here, 'src', name);

const svelte = generate => ({
  name: 'svelte',
  setup(build) {
    build.onLoad({filter: /\.svelte$/}, async ({path}) => {
      const text = await readFile(path, 'utf8');
      return {contents: compile(text, {filename: path, generate}).js.code, loader: 'js'};
    });
    build.onLoad({filter: /\.svelte\.js$/}, async ({path}) => {
      const text = await readFile(path, 'utf8');
      return {contents: compileModule(text, {filename: path, generate}).js.code, loader: 'js'};
    });
  },
});

const define = {
  'process.env.NODE_ENV': '"production"',
  __VUE_OPTIONS_API__: 'true',
  __VUE_PROD_DEVTOOLS__: 'false',
  __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false',
};
const shared = {bundle: true, define, jsx: 'transform', logLevel: 'error', nodePaths: [join(here, 'node_modules')]};

const clients = [
  'react-client.jsx', 'react-fetch.jsx', 'react-hydrate.jsx', 'vue-client.js', 'vue-fetch.js', 'vue-template.js',
  'vue-hydrate.js', 'svelte-client.js', 'svelte-hydrate.js', 'plain-fetch.js', 'plain-write.js', 'plain-extras.js',
];
const server = async name => {
  const outfile = join(out, 'server', `${name}.mjs`);
  await esbuild.build({
    ...shared, entryPoints: [source(name)], outfile, platform: 'node', format: 'esm', conditions: ['node'],
    plugins: [svelte('server')],
    banner: {js: "import {createRequire} from 'node:module'; const require = createRequire(import.meta.url);"},
  });
  return import(pathToFileURL(outfile));
};

const head = (more = '') => `<head><meta charset="utf-8"><title>${title}</title>${more}</head>`;
const page = (body, more) => `<!doctype html><html lang="en">${head(more)}<body>${body}</body></html>`;
const script = (name, kind = 'type="module"') => `<script ${kind} src="/assets/${name}.js"></script>`;
const noscript = '<noscript>You need to enable JavaScript to run this app.</noscript>';
const nav = '<nav><a href="/">Home</a> <a href="/sheets">Sheets</a> <a href="/keepers">Keepers</a> <a href="/about">About us</a></nav>';
const footer = '<footer>© the archive of the harbour. Imprint, privacy, contact.</footer>';
const links = ['Opening hours and prices', 'How to get here', 'Guided tours for schools', 'Rent a room for your event', 'Become a friend of the archive',
  'News and press releases', 'Jobs and volunteering', 'Accessibility of our buildings', 'Terms of use', 'Privacy and cookies', 'Newsletter for members'];
const menu = `<nav><ul>${links.map(text => `<li><a href="/x">${text}</a></li>`).join('')}</ul></nav>`;
const article = `<main><h1>${title}</h1>${paragraphs.map(text => `<p>${text}</p>`).join('')}<ul>${facts.map(fact => `<li>${fact}</li>`).join('')}</ul></main>`;
const brief = `<main><h1>Moved</h1><p>${short}</p></main>`;
const counter = '<script>window.queue = window.queue || []; queue.push(["visit", location.pathname]);</script>';

async function pages() {
  const [react, vue, svelted] = await Promise.all(['react-server.jsx', 'vue-server.js', 'svelte-server.js'].map(server));
  const root = (html = '', more = '') => `<div id="root"${more}>${html}</div>`;
  return {
    // Written in the browser.
    'react-client': page(root() + script('react-client')),
    'react-client-noscript': page(noscript + root() + script('react-client')),
    'react-client-shell': page(nav + root() + footer + script('react-client')),
    'react-client-skeleton': page(root('<div class="spinner">Loading, please wait…</div>') + script('react-client')),
    'react-client-long-shell': page(menu + root() + footer + script('react-client')),
    'react-fetch-unnamed': page('<div data-mount></div>' + script('react-fetch')),
    'vue-client': page('<div id="app"></div>' + script('vue-client')),
    'vue-client-shell': page(nav + '<div id="app"></div>' + footer + script('vue-client')),
    'vue-fetch': page('<div id="app"></div>' + script('vue-fetch')),
    'vue-template': page('<div id="page"><main><h1>{{ title }}</h1><p v-for="text in paragraphs">{{ text }}</p><ul><li v-for="fact in facts">{{ fact }}</li></ul></main></div>' + script('vue-template')),
    'svelte-client': page('<div id="svelte"></div>' + script('svelte-client')),
    'svelte-client-body': page('', script('svelte-client')),
    'plain-write': page(script('plain-write', '')),
    'plain-fetch': page(nav + '<main id="content"></main>' + footer + script('plain-fetch')),
    // Written on the server, and taken over by the browser.
    'react-ssr': page(root(react.hydrated()) + script('react-hydrate')),
    'react-ssr-noscript': page(noscript + root(react.hydrated()) + script('react-hydrate')),
    'react-ssr-data': page(root(react.hydrated()) + `<script id="__NEXT_DATA__" type="application/json">${JSON.stringify({title, paragraphs, facts})}</script>` + script('react-hydrate')),
    'react-ssr-short': page(root(react.short(), ' data-page="short"') + script('react-hydrate')),
    'vue-ssr': page(`<div id="app">${await vue.hydrated()}</div>` + script('vue-hydrate')),
    'svelte-ssr': page(`<div id="svelte">${svelted.hydrated()}</div>` + script('svelte-hydrate')),
    // Written on the server, without scripts.
    'react-static': page(root(react.fixed())),
    'vue-static': page(await vue.hydrated()),
    'svelte-static': page(svelted.hydrated()),
    // Written by hand.
    'plain-article': page(nav + article + footer),
    'plain-article-many-scripts': page(nav + article + footer + counter.repeat(6) + script('plain-extras')),
    'plain-short': page(brief),
    'plain-short-script': page(nav + brief + footer + counter + script('plain-extras')),
    'plain-short-many-scripts': page(brief + counter.repeat(6) + script('plain-extras')),
    'plain-short-comments': page(brief + '<div id="comments"></div><noscript>Please enable JavaScript to view the comments.</noscript>' + script('plain-extras')),
    'plain-short-pixel': page(brief + '<noscript><img src="/pixel.gif" alt=""></noscript>' + counter),
    'plain-search': page(nav + '<main><h1>Search the sheets</h1><form action="/search"><input name="q"><button>Search</button></form></main>' + footer + script('plain-extras')),
  };
}

await rm(out, {recursive: true, force: true});
await mkdir(join(out, 'assets'), {recursive: true});
await esbuild.build({
  ...shared, entryPoints: clients.map(source), outdir: join(out, 'assets'), format: 'esm', minify: true, target: 'es2022',
  conditions: ['browser'], plugins: [svelte('client')],
});
for (const [name, html] of Object.entries(await pages())) {
  await writeFile(join(out, `${name}.html`), html);
}
await writeFile(join(out, 'data.json'), JSON.stringify({title, paragraphs, facts}));

// The page is its own template: the mustaches stand in the HTML until this has run.
import {createApp} from 'vue/dist/vue.esm-bundler.js';
import {facts, paragraphs, title} from './article.js';

createApp({data: () => ({title, paragraphs, facts})}).mount('#page');

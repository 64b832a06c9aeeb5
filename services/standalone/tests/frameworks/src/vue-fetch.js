import {createApp} from 'vue';
import {Article} from './vue.js';

const data = await (await fetch('/data.json')).json();
createApp(Article, {data}).mount('#app');

import {createApp} from 'vue';
import {Article} from './vue.js';

createApp(Article).mount('#app');

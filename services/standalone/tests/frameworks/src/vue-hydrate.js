import {createSSRApp} from 'vue';
import {Article} from './vue.js';

createSSRApp(Article).mount('#app');

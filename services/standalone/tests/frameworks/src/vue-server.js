import {createSSRApp} from 'vue';
import {renderToString} from 'vue/server-renderer';
import {Article} from './vue.js';

export const hydrated = () => renderToString(createSSRApp(Article));

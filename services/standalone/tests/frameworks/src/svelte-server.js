import {render} from 'svelte/server';
import Article from './Article.svelte';

export const hydrated = () => render(Article).body;

// The article with Vue.
import {h, ref} from 'vue';
import {facts, paragraphs, title} from './article.js';

export const Article = {
  props: {data: {default: () => ({title, paragraphs, facts})}},
  setup(props) {
    const seen = ref(0);
    return () => h('main', [
      h('h1', props.data.title),
      props.data.paragraphs.map(text => h('p', text)),
      h('ul', props.data.facts.map(fact => h('li', fact))),
      h('button', {onClick: () => seen.value++}, `Seen ${seen.value} times`),
    ]);
  },
};

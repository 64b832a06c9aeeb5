import {paragraphs, title} from './article.js';

document.write(`<h1>${title}</h1>` + paragraphs.map(text => `<p>${text}</p>`).join(''));

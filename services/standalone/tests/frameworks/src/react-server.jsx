import React from 'react';
import {renderToStaticMarkup, renderToString} from 'react-dom/server';
import {Article, Short} from './react.jsx';

export const hydrated = () => renderToString(<Article />);
export const short = () => renderToString(<Short />);
export const fixed = () => renderToStaticMarkup(<Article />);

import React from 'react';
import {hydrateRoot} from 'react-dom/client';
import {Article, Short} from './react.jsx';

const root = document.getElementById('root');
hydrateRoot(root, root.dataset.page === 'short' ? <Short /> : <Article />);

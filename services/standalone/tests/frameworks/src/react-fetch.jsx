import React from 'react';
import {createRoot} from 'react-dom/client';
import {Loaded} from './react.jsx';

createRoot(document.querySelector('[data-mount]')).render(<Loaded />);

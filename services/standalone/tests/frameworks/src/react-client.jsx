import React from 'react';
import {createRoot} from 'react-dom/client';
import {Article} from './react.jsx';

createRoot(document.getElementById('root')).render(<Article />);

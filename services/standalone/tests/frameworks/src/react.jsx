// The article with React.
import React, {useEffect, useState} from 'react';
import {facts, paragraphs, short, title} from './article.js';

export function Article({data = {title, paragraphs, facts}}) {
  const [seen, setSeen] = useState(0);
  return (
    <main>
      <h1>{data.title}</h1>
      {data.paragraphs.map(text => <p key={text}>{text}</p>)}
      <ul>{data.facts.map(fact => <li key={fact}>{fact}</li>)}</ul>
      <button onClick={() => setSeen(seen + 1)}>Seen {seen} times</button>
    </main>
  );
}

export function Loaded() {
  const [data, setData] = useState(null);
  useEffect(() => { fetch('/data.json').then(answer => answer.json()).then(setData); }, []);
  return data ? <Article data={data} /> : <p>Loading…</p>;
}

export function Short() {
  return <main><h1>Moved</h1><p>{short}</p></main>;
}

// One step through a list that only holds what is in view: keeps the items seen so far, by their HTML, and scrolls on.
// Returns whether there was a container, and whether it could scroll. `finish` puts all items into the container.
(selector, step, max, finish) => {
  const container = document.querySelector(selector);
  if (!container) return { found: false, moved: false };
  const kept = (globalThis.__crawlmeshItems ??= { seen: new Set(), items: [], size: 0 });
  // The items are the children of the innermost element that has more than one.
  let list = container;
  while (list.children.length === 1 && list.firstElementChild.children.length > 0) list = list.firstElementChild;
  for (const item of list.children) {
    const html = item.outerHTML;
    if (kept.seen.has(html) || kept.size + html.length > max) continue;
    kept.seen.add(html);
    kept.items.push(html);
    kept.size += html.length;
  }
  if (finish) {
    list.innerHTML = kept.items.join('');
    delete globalThis.__crawlmeshItems;
    return { found: true, moved: false };
  }
  const before = container.scrollTop;
  container.scrollTop += step ?? container.clientHeight;
  return { found: true, moved: container.scrollTop !== before };
}

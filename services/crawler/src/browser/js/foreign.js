// Lists the frames that a document cannot look into, in the order of the page.
(shadow) => {
  const found = [];
  const inside = (frame) => { try { return frame.contentDocument; } catch { return null; } };
  const look = (root) => {
    for (const node of root.querySelectorAll(shadow ? '*' : 'iframe, frame')) {
      if (shadow && node.shadowRoot) look(node.shadowRoot);
      if (node.localName !== 'iframe' && node.localName !== 'frame') continue;
      const document = inside(node);
      if (document) look(document); else found.push(node);
    }
  };
  look(document);
  return found;
}

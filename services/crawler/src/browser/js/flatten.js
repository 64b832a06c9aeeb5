// Serialises a tree as HTML with the content of open shadow roots (slots filled) and of frames of the same origin in it.
(root, frames, shadow) => {
  const VOID = new Set(['area', 'base', 'br', 'col', 'embed', 'hr', 'img', 'input', 'link', 'meta', 'source', 'track', 'wbr']);
  const RAW = new Set(['script', 'style', 'xmp', 'iframe', 'noembed', 'noframes', 'plaintext', 'noscript']);
  const escape = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
  const quote = (text) => text.replace(/&/g, '&amp;').replace(/"/g, '&quot;');
  const parts = [];
  const all = (nodes, raw) => { for (const node of nodes) one(node, raw); };
  const inside = (frame) => { try { return frame.contentDocument; } catch { return null; } };
  const one = (node, raw) => {
    if (node.nodeType === Node.TEXT_NODE) return void parts.push(raw ? node.data : escape(node.data));
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    const name = node.localName;
    if (shadow && name === 'slot' && node.getRootNode() instanceof ShadowRoot) {
      const assigned = node.assignedNodes({ flatten: true });
      return all(assigned.length ? assigned : node.childNodes, false);
    }
    const frame = frames && (name === 'iframe' || name === 'frame') ? inside(node) : null;
    if (frame && frame.body) {
      parts.push(`<div data-frame="${quote(node.src || '')}">`);
      all(frame.body.childNodes, false);
      return void parts.push('</div>');
    }
    parts.push('<', name);
    for (const { name, value } of node.attributes) parts.push(` ${name}="${quote(value)}"`);
    parts.push('>');
    if (VOID.has(name)) return;
    if (name === 'template') parts.push(node.innerHTML);
    else if (shadow && node.shadowRoot) all(node.shadowRoot.childNodes, false);
    else all(node.childNodes, RAW.has(name));
    parts.push('</', name, '>');
  };
  // A tree that is too deep for this recursion is taken as it is.
  try { one(root, false); } catch { return root.outerHTML; }
  return parts.join('');
}

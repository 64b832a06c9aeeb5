// Serialises a tree as HTML with the content of open shadow roots (slots filled) and of frames in it: those of the same origin as they are,
// others as `contents` has them. `inside`: without the root itself.
(root, frames, shadow, contents = new Map(), inside = false) => {
  const VOID = new Set(['area', 'base', 'br', 'col', 'embed', 'hr', 'img', 'input', 'link', 'meta', 'source', 'track', 'wbr']);
  const RAW = new Set(['script', 'style', 'xmp', 'iframe', 'noembed', 'noframes', 'noscript']);
  const escape = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
  const quote = (text) => text.replace(/&/g, '&amp;').replace(/"/g, '&quot;');
  const parts = [];
  const all = (nodes, raw) => { for (const node of nodes) one(node, raw); };
  const within = (frame) => { try { return frame.contentDocument; } catch { return null; } };
  const one = (node, raw) => {
    if (node.nodeType === Node.TEXT_NODE) return void parts.push(raw ? node.data : escape(node.data));
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    // Nothing ends a `plaintext`, which would swallow the page around its frame.
    const name = node.localName === 'plaintext' ? 'pre' : node.localName;
    if (shadow && name === 'slot' && node.getRootNode() instanceof ShadowRoot) {
      const assigned = node.assignedNodes({ flatten: true });
      return all(assigned.length ? assigned : node.childNodes, false);
    }
    const frame = frames && (name === 'iframe' || name === 'frame') ? within(node) : null;
    if (frame && frame.body) {
      parts.push(`<div data-frame="${quote(node.src || '')}">`);
      all(frame.body.childNodes, false);
      return void parts.push('</div>');
    }
    if (frames && contents.has(node)) {
      return void parts.push(`<div data-frame="${quote(node.src || '')}">`, contents.get(node), '</div>');
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
  try { if (inside) all(root.childNodes, false); else one(root, false); } catch { return inside ? root.innerHTML : root.outerHTML; }
  return parts.join('');
}

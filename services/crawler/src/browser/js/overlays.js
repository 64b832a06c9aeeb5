// Removes what lies over the page: open dialogs, and fixed layers that cover much of the window or stand above everything.
// Returns how many there were. Bars at an edge stay: they hold a site's navigation.
(() => {
  let found = 0;
  const remove = (element) => { element.remove(); found++; };
  for (const dialog of document.querySelectorAll('dialog[open], [role=dialog], [role=alertdialog], [aria-modal=true]')) {
    const style = getComputedStyle(dialog);
    if (style.display !== 'none' && style.visibility !== 'hidden') remove(dialog);
  }
  const area = innerWidth * innerHeight;
  const walk = document.querySelectorAll('body *');
  for (const element of walk) {
    if (!element.isConnected) continue;
    const style = getComputedStyle(element);
    if (style.position !== 'fixed' || style.display === 'none') continue;
    const box = element.getBoundingClientRect();
    const covers = Math.max(0, Math.min(box.right, innerWidth) - Math.max(box.left, 0)) *
      Math.max(0, Math.min(box.bottom, innerHeight) - Math.max(box.top, 0));
    const main = element.querySelector('main, article') || element.matches('main, article');
    if (covers > area * 0.3 && !main) remove(element);
  }
  for (const element of [document.documentElement, document.body]) {
    if (element && found) element.style.setProperty('overflow', 'auto', 'important');
  }
  return found;
})()

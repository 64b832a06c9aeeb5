// What a page can do without: counts a visit, and folds a menu.
performance.mark('visited');
for (const menu of document.querySelectorAll('nav')) menu.addEventListener('click', () => menu.classList.toggle('open'));

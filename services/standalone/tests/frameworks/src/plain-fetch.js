const data = await (await fetch('/data.json')).json();
const main = document.getElementById('content');
main.innerHTML = `<h1>${data.title}</h1>` + data.paragraphs.map(text => `<p>${text}</p>`).join('');

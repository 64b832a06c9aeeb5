// What the pages tell, whatever writes them.
export const title = 'How the tide gauge of Brest was read';
export const paragraphs = [
  'The gauge stood in a well beside the harbour, so that the swell of passing ships did not disturb it. A float rose and fell with the water and moved a pencil over a drum of paper.',
  'Every morning a keeper wound the clock, changed the paper and wrote the date, the weather and his name in the margin. The sheets were sent to the hydrographic office at the end of each month.',
  'Two centuries of these sheets are among the longest records of the level of the sea. They were scanned and turned into numbers by volunteers who compared each curve with the notes of its keeper.',
];
export const facts = ['First sheet: 1807', 'Sheets that are lost: 412', 'Largest storm: March 1937'];
export const short = 'The archive moved. You will find the sheets in the reading room on the second floor.';

export { NODE_COLUMNS, restartText, shortId, VM_COLUMNS } from './columns.ts';
export { forwardsOf, renderNode } from './node.ts';
export { renderTable, type Column } from './table.ts';
export { cut, padEnd, printable, widthOf } from './text.ts';
export { waterfall } from './waterfall.ts';

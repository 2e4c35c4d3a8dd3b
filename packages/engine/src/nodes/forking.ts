/** What a node's status says while it is made from another one: a daemon that dies over it takes it away. */
export const FORKING = 'being forked';

/**
 * What travels on the WebSockets `exec`, `console` and `connect`.
 *
 * exec: the client sends an ExecRequest as text first. Binary messages are one channel byte and data: 0 stdin, 1 stdout,
 * 2 stderr; an empty stdin message is its end. Text from the client is an ExecControl, from the daemon an ExecReply.
 * console: binary both ways, no channel byte; text from the daemon is an ExecReply of type `error`.
 * connect: the client sends a ConnectRequest as text and waits for the ConnectReply `open`. From then on binary both ways, no
 * channel byte; an empty message is the end of its direction. The daemon closes after both ends, or with an `error`.
 */

export const CHANNEL_STDIN = 0;
export const CHANNEL_STDOUT = 1;
export const CHANNEL_STDERR = 2;

/** The trailer of a download. */
export const SHA256_TRAILER = 'x-skerry-sha256';

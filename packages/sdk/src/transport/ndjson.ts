/** One JSON value a line. A line may come in pieces, and many may come at once. */
export async function* parseNdjson(source: AsyncIterable<Buffer>): AsyncGenerator<unknown, void, undefined> {
  let partial: Buffer[] = [];
  for await (const chunk of source) {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      const line = Buffer.concat([...partial, chunk.subarray(start, end)]).toString();
      partial = [];
      start = end + 1;
      if (line.trim() !== '') yield JSON.parse(line);
    }
    if (start < chunk.length) partial.push(chunk.subarray(start));
  }
  const rest = Buffer.concat(partial).toString();
  if (rest.trim() !== '') yield JSON.parse(rest);
}

/** What the guest mounts a shared directory by. Of its place among the shares alone, so that clones of one template have it. */
export function shareTag(index: number): string {
  return `share${index}`;
}

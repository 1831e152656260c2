/** Content that can be told to be whole from itself and its name: its length first, then the name over and over. */
export function contentOf(name: string, bytes: number): Uint8Array {
  const content = Buffer.alloc(bytes, name)
  content.writeUInt32BE(bytes, 0)
  return new Uint8Array(content.buffer, content.byteOffset, bytes)
}

export function isWhole(name: string, content: Uint8Array): boolean {
  return content.length >= 4 && Buffer.compare(content, contentOf(name, content.length)) === 0
}

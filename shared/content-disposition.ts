/**
 * Content-Disposition of files that users gave us, for other users' browsers. Shown in place is only what no browser runs:
 * a page, SVG or XML from our address could act in the name of whoever opens it.
 */
const SHOWN = /^(?:image\/(?:png|jpeg|gif|webp|avif|bmp|x-icon|vnd\.microsoft\.icon)|(?:audio|video)\/[a-z0-9.+-]+|text\/plain|application\/pdf)$/

/** RFC 6266, with the name as RFC 8187 encodes it, and in ASCII for whoever does not know that. */
export function contentDisposition(type: string, name: string | undefined): string {
  const essence = type.split(';', 1)[0]!.trim().toLowerCase()
  const disposition = SHOWN.test(essence) ? 'inline' : 'attachment'
  if (name === undefined) return disposition
  const ascii = name.replaceAll(/[^\x20-\x7e]|["\\%]/g, '_')
  if (ascii === name) return `${disposition}; filename="${name}"`
  return `${disposition}; filename="${ascii}"; filename*=UTF-8''${encodeURIComponent(name).replaceAll(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)}`
}

/** What addresses that we hand out begin with: as configured, else where the client reached us. */
export function baseUrl(publicUrl: string | undefined, host: string | undefined): string {
  return publicUrl ?? `http://${host ?? 'localhost'}`
}

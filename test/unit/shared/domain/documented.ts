/** The example of domains.md, word for word, and configurations as domains of the KnowLearning platform have them. */
export const DOCUMENTED = `authorize:
  sameDomain:  { postgres: fn_name }     # BOOLEAN fn(requestingUser TEXT, requestedScope TEXT)
  crossDomain: { postgres: fn_name }     # BOOLEAN fn(requestingDomain TEXT, requestingUser TEXT, requestedScope TEXT)
postgres:
  tables:
    scores:
      type: application/json;type=score  # states of this type are mirrored: one row a state
      columns: { player: TEXT, points: INTEGER, tags: "TEXT[]" }
      indices: { by_points: { column: points } }
  queries:
    top-scores: SELECT id, player, points FROM scores ORDER BY points DESC LIMIT $1
    shared-query: { domains: [other.example.com], body: "SELECT ..." }
  functions:
    fn_name: { language: PLpgSQL, returns: BOOLEAN, arguments: [{ name: x, type: TEXT }], body: "BEGIN ... END;" }
agent: |
  // JavaScript module, see below
`

export const PLATFORM = `authorize:
  sameDomain:
    postgres: same_domain
  crossDomain:
    postgres: isAdmin
postgres:
  tables:
    studies:
      type: application/json;type=study
      columns: {}
    groups:
      type: application/json;type=group
      columns:
        id: TEXT
        name: TEXT
        archived: BOOLEAN
  functions:
    same_domain:
      returns: BOOLEAN
      language: PLpgSQL
      body: |
        BEGIN
          RETURN TRUE;
        END;
      arguments:
      - name: requestingUser
        type: TEXT
      - name: requestedScope
        type: TEXT
    isAdmin:
      returns: BOOLEAN
      arguments:
      - name: requestingDomain
        type: TEXT
      - name: user
        type: TEXT
      - name: scope
        type: TEXT
      language: PLpgSQL
      body: |
        BEGIN
          RETURN FALSE;
        END;
    members:
      returns:
        member: TEXT
        since: TIMESTAMP
      arguments: []
      language: SQL
      body: SELECT id, NULL::timestamp FROM groups
  queries:
    members: SELECT * FROM members() WHERE isAdmin('', $REQUESTER, '')
  scopes:
    groups: SELECT * FROM groups
    anything: [1, { else: 2 }]
`

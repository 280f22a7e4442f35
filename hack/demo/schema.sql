-- An applicant-tracking system's database. Two companies (tenants) share it; Lethe's workspace is one of them.
PRAGMA journal_mode = WAL;
PRAGMA foreign_keys = ON;

CREATE TABLE tenants (
  id   TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL
);

CREATE TABLE users (
  id        TEXT NOT NULL PRIMARY KEY,
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  email     TEXT NOT NULL UNIQUE,
  full_name TEXT NOT NULL,
  role      TEXT NOT NULL CHECK (role IN ('recruiter', 'hiring-manager', 'admin'))
);

CREATE TABLE vacancies (
  id          TEXT NOT NULL PRIMARY KEY,
  tenant_id   TEXT NOT NULL REFERENCES tenants (id),
  title       TEXT NOT NULL,
  location    TEXT NOT NULL,
  opened_at   TEXT NOT NULL,
  closed_at   TEXT,
  archived_at TEXT
);

-- Numbers for reports, without personal data.
CREATE TABLE vacancy_statistics (
  vacancy_id    TEXT    NOT NULL REFERENCES vacancies (id),
  month         TEXT    NOT NULL,
  applications  INTEGER NOT NULL,
  days_to_close REAL,
  PRIMARY KEY (vacancy_id, month)
);

-- One-way hashes that recognise a second application to the same vacancy; nothing leads back to a person.
CREATE TABLE application_fingerprints (
  vacancy_id  TEXT NOT NULL REFERENCES vacancies (id),
  fingerprint TEXT NOT NULL,
  PRIMARY KEY (vacancy_id, fingerprint)
);

CREATE TABLE applicants (
  id            TEXT    NOT NULL PRIMARY KEY,
  tenant_id     TEXT    NOT NULL REFERENCES tenants (id),
  email         TEXT    NOT NULL,
  full_name     TEXT    NOT NULL,
  phone         TEXT,
  birth_date    TEXT,
  city          TEXT,
  profile_url   TEXT,
  status        TEXT    NOT NULL CHECK (status IN ('active', 'hired', 'deactivated', 'erased')),
  portal_access INTEGER NOT NULL DEFAULT 1,
  referred_by   TEXT    REFERENCES applicants (id),
  created_at    TEXT    NOT NULL,
  UNIQUE (tenant_id, email)
);
CREATE INDEX applicants_email ON applicants (lower(email));
CREATE INDEX applicants_referred_by ON applicants (referred_by);

CREATE TABLE applications (
  id           TEXT NOT NULL PRIMARY KEY,
  applicant_id TEXT NOT NULL REFERENCES applicants (id),
  vacancy_id   TEXT NOT NULL REFERENCES vacancies (id),
  stage        TEXT NOT NULL
    CHECK (stage IN ('applied', 'screening', 'interview', 'offer', 'hired', 'rejected', 'withdrawn')),
  cover_letter TEXT,
  applied_at   TEXT NOT NULL,
  closed_at    TEXT
);
CREATE INDEX applications_applicant ON applications (applicant_id);
CREATE INDEX applications_vacancy ON applications (vacancy_id);

-- A note belongs to an applicant or to an application: item_type says to which.
CREATE TABLE notes (
  id         INTEGER NOT NULL PRIMARY KEY,
  item_type  TEXT    NOT NULL CHECK (item_type IN ('applicant', 'application')),
  item_id    TEXT    NOT NULL,
  author_id  TEXT    NOT NULL REFERENCES users (id),
  body       TEXT    NOT NULL,
  created_at TEXT    NOT NULL
);
CREATE INDEX notes_item ON notes (item_id, item_type);

CREATE TABLE evaluations (
  id             INTEGER NOT NULL PRIMARY KEY,
  application_id TEXT    NOT NULL REFERENCES applications (id),
  evaluator_id   TEXT    NOT NULL REFERENCES users (id),
  score          INTEGER NOT NULL CHECK (score BETWEEN 1 AND 5),
  summary        TEXT    NOT NULL,
  created_at     TEXT    NOT NULL
);
CREATE INDEX evaluations_application ON evaluations (application_id);

CREATE TABLE interviews (
  id             TEXT NOT NULL PRIMARY KEY,
  application_id TEXT NOT NULL REFERENCES applications (id),
  held_at        TEXT NOT NULL,
  transcript     TEXT,
  recording_dir  TEXT UNIQUE
);
CREATE INDEX interviews_application ON interviews (application_id);

CREATE TABLE clarification_requests (
  id             INTEGER NOT NULL PRIMARY KEY,
  application_id TEXT    NOT NULL REFERENCES applications (id),
  question       TEXT    NOT NULL,
  answer         TEXT,
  asked_at       TEXT    NOT NULL
);
CREATE INDEX clarification_requests_application ON clarification_requests (application_id);

CREATE TABLE appointment_bookings (
  id             INTEGER NOT NULL PRIMARY KEY,
  application_id TEXT    NOT NULL REFERENCES applications (id),
  starts_at      TEXT    NOT NULL,
  place          TEXT    NOT NULL
);
CREATE INDEX appointment_bookings_application ON appointment_bookings (application_id);

-- Mail that came before the person applied has no applicant_id: only the address tells whose it is.
CREATE TABLE messages (
  id           TEXT NOT NULL PRIMARY KEY,
  tenant_id    TEXT NOT NULL REFERENCES tenants (id),
  applicant_id TEXT REFERENCES applicants (id),
  from_email   TEXT NOT NULL,
  to_email     TEXT NOT NULL,
  subject      TEXT NOT NULL,
  body         TEXT NOT NULL,
  sent_at      TEXT NOT NULL
);
CREATE INDEX messages_applicant ON messages (applicant_id);
CREATE INDEX messages_from ON messages (lower(from_email));
CREATE INDEX messages_to ON messages (lower(to_email));

CREATE TABLE message_attachments (
  id          INTEGER NOT NULL PRIMARY KEY,
  message_id  TEXT    NOT NULL REFERENCES messages (id),
  storage_dir TEXT    NOT NULL,
  file_name   TEXT    NOT NULL,
  UNIQUE (storage_dir, file_name)
);
CREATE INDEX message_attachments_message ON message_attachments (message_id);

CREATE TABLE documents (
  id               TEXT NOT NULL PRIMARY KEY,
  applicant_id     TEXT NOT NULL REFERENCES applicants (id),
  kind             TEXT NOT NULL CHECK (kind IN ('resume', 'certificate', 'travel-invoice', 'contract')),
  issued_at        TEXT,
  contract_ends_at TEXT,
  storage_dir      TEXT NOT NULL,
  file_name        TEXT NOT NULL,
  UNIQUE (storage_dir, file_name)
);
CREATE INDEX documents_applicant ON documents (applicant_id);

CREATE TABLE ai_conversations (
  id           TEXT NOT NULL PRIMARY KEY,
  applicant_id TEXT NOT NULL REFERENCES applicants (id),
  topic        TEXT NOT NULL,
  started_at   TEXT NOT NULL
);
CREATE INDEX ai_conversations_applicant ON ai_conversations (applicant_id);

CREATE TABLE ai_messages (
  conversation_id TEXT    NOT NULL REFERENCES ai_conversations (id),
  position        INTEGER NOT NULL,
  role            TEXT    NOT NULL CHECK (role IN ('applicant', 'assistant')),
  content         TEXT    NOT NULL,
  PRIMARY KEY (conversation_id, position)
);

CREATE TABLE talent_pool (
  id            TEXT NOT NULL PRIMARY KEY,
  applicant_id  TEXT NOT NULL REFERENCES applicants (id),
  interests     TEXT NOT NULL,
  registered_at TEXT NOT NULL
);
CREATE INDEX talent_pool_applicant ON talent_pool (applicant_id);

CREATE TABLE candidate_matches (
  talent_pool_id TEXT NOT NULL REFERENCES talent_pool (id),
  vacancy_id     TEXT NOT NULL REFERENCES vacancies (id),
  state          TEXT NOT NULL CHECK (state IN ('found', 'invited', 'applied', 'removed')),
  found_at       TEXT NOT NULL,
  PRIMARY KEY (talent_pool_id, vacancy_id)
);

-- The consent outlives the applicant, for requests of the authorities, and refers to nobody: the address is all it has.
CREATE TABLE consents (
  id         TEXT NOT NULL PRIMARY KEY,
  tenant_id  TEXT NOT NULL REFERENCES tenants (id),
  email      TEXT NOT NULL,
  ip_address TEXT,
  purpose    TEXT NOT NULL,
  status     TEXT NOT NULL CHECK (status IN ('pending', 'given', 'withdrawn', 'declined', 'expired')),
  given_at   TEXT,
  expires_at TEXT
);
CREATE INDEX consents_email ON consents (lower(email));

-- An applicant-tracking system as they grow over the years: OpenCATS in manner, with what recruiting products have added
-- since. Portable but for the words in braces, which each engine replaces. Rows of several sites (tenants) share all tables.

-- Users and look-ups, which an erasure leaves alone.
CREATE TABLE site (site_id INT PRIMARY KEY, name VARCHAR(64) NOT NULL);
CREATE TABLE app_user (user_id INT PRIMARY KEY, site_id INT NOT NULL, user_name VARCHAR(64) NOT NULL, email VARCHAR(128) NOT NULL,
  FOREIGN KEY (site_id) REFERENCES site (site_id));
CREATE TABLE candidate_source (source_id INT PRIMARY KEY, name VARCHAR(64) NOT NULL);
CREATE TABLE pipeline (pipeline_id INT PRIMARY KEY, name VARCHAR(64) NOT NULL);
CREATE TABLE pipeline_stage (stage_id INT PRIMARY KEY, pipeline_id INT NOT NULL, name VARCHAR(64) NOT NULL,
  FOREIGN KEY (pipeline_id) REFERENCES pipeline (pipeline_id));
CREATE TABLE tag (tag_id INT PRIMARY KEY, title VARCHAR(64) NOT NULL, parent_tag_id INT, FOREIGN KEY (parent_tag_id) REFERENCES tag (tag_id));
CREATE TABLE skill (skill_id INT PRIMARY KEY, name VARCHAR(64) NOT NULL);
CREATE TABLE email_template (template_id INT PRIMARY KEY, subject VARCHAR(200) NOT NULL, body TEXT NOT NULL);
CREATE TABLE setting (name VARCHAR(64) PRIMARY KEY, value VARCHAR(200));
CREATE TABLE questionnaire (questionnaire_id INT PRIMARY KEY, title VARCHAR(128) NOT NULL);
CREATE TABLE question (question_id INT PRIMARY KEY, questionnaire_id INT NOT NULL, wording VARCHAR(200) NOT NULL,
  FOREIGN KEY (questionnaire_id) REFERENCES questionnaire (questionnaire_id));
CREATE TABLE saved_list (saved_list_id INT PRIMARY KEY, site_id INT NOT NULL, description VARCHAR(128) NOT NULL, owner_id INT NOT NULL,
  FOREIGN KEY (owner_id) REFERENCES app_user (user_id));

-- Candidates: a person may have several rows, and rows are merged into others.
CREATE TABLE candidate (
  candidate_id INT PRIMARY KEY, site_id INT NOT NULL, public_id VARCHAR(40) NOT NULL UNIQUE,
  first_name VARCHAR(64) NOT NULL, last_name VARCHAR(64) NOT NULL, email1 VARCHAR(128), email2 VARCHAR(128), phone_cell VARCHAR(40),
  phone_home VARCHAR(40), "birth date" DATE, city VARCHAR(64), notes TEXT, photo {bytes}, "rank" INT NOT NULL, source_id INT, owner_id INT NOT NULL,
  merged_into_id INT, referred_by_id INT, is_active SMALLINT NOT NULL, created_at {time} NOT NULL,
  FOREIGN KEY (site_id) REFERENCES site (site_id), FOREIGN KEY (source_id) REFERENCES candidate_source (source_id),
  FOREIGN KEY (owner_id) REFERENCES app_user (user_id), FOREIGN KEY (merged_into_id) REFERENCES candidate (candidate_id),
  FOREIGN KEY (referred_by_id) REFERENCES candidate (candidate_id));
CREATE TABLE candidate_phone (phone_id INT PRIMARY KEY, candidate_id INT NOT NULL, number VARCHAR(40) NOT NULL,
  FOREIGN KEY (candidate_id) REFERENCES candidate (candidate_id));
CREATE TABLE candidate_address (candidate_id INT NOT NULL, kind VARCHAR(16) NOT NULL, street VARCHAR(128) NOT NULL, PRIMARY KEY (candidate_id, kind),
  FOREIGN KEY (candidate_id) REFERENCES candidate (candidate_id));
CREATE TABLE candidate_skill (candidate_id INT NOT NULL, skill_id INT NOT NULL, years NUMERIC(4,1), PRIMARY KEY (skill_id, candidate_id),
  FOREIGN KEY (candidate_id) REFERENCES candidate (candidate_id), FOREIGN KEY (skill_id) REFERENCES skill (skill_id));
CREATE TABLE candidate_tag (tag_id INT NOT NULL, candidate_id INT NOT NULL, PRIMARY KEY (tag_id, candidate_id),
  FOREIGN KEY (candidate_id) REFERENCES candidate (candidate_id), FOREIGN KEY (tag_id) REFERENCES tag (tag_id));
CREATE TABLE profile (profile_id INT PRIMARY KEY, candidate_id INT, document {json} NOT NULL, contact {json}, parsed_at {time} NOT NULL,
  FOREIGN KEY (candidate_id) REFERENCES candidate (candidate_id));
CREATE TABLE search_cache (cache_id INT PRIMARY KEY, candidate_id INT, score INT NOT NULL,
  FOREIGN KEY (candidate_id) REFERENCES candidate (candidate_id) ON DELETE SET NULL);
CREATE TABLE duplicate_suggestion (candidate_a INT NOT NULL, candidate_b INT NOT NULL, score INT NOT NULL, PRIMARY KEY (candidate_a, candidate_b),
  FOREIGN KEY (candidate_a) REFERENCES candidate (candidate_id), FOREIGN KEY (candidate_b) REFERENCES candidate (candidate_id));
CREATE TABLE referral (referral_id INT PRIMARY KEY, referrer_id INT, referred_id INT NOT NULL, bonus NUMERIC(10,2) NOT NULL,
  FOREIGN KEY (referrer_id) REFERENCES candidate (candidate_id), FOREIGN KEY (referred_id) REFERENCES candidate (candidate_id));

-- Clients and vacancies. A company has a contact and a contact has a company.
CREATE TABLE company (company_id INT PRIMARY KEY, site_id INT NOT NULL, name VARCHAR(128) NOT NULL, billing_contact_id INT);
CREATE TABLE contact (contact_id INT PRIMARY KEY, site_id INT NOT NULL, company_id INT NOT NULL, first_name VARCHAR(64), last_name VARCHAR(64),
  email1 VARCHAR(128), former_candidate_id INT, reports_to_id INT, FOREIGN KEY (company_id) REFERENCES company (company_id),
  FOREIGN KEY (former_candidate_id) REFERENCES candidate (candidate_id), FOREIGN KEY (reports_to_id) REFERENCES contact (contact_id));
ALTER TABLE company ADD FOREIGN KEY (billing_contact_id) REFERENCES contact (contact_id);
CREATE TABLE joborder (joborder_id INT PRIMARY KEY, site_id INT NOT NULL, company_id INT NOT NULL, contact_id INT, title VARCHAR(128) NOT NULL,
  owner_id INT NOT NULL, filled_by_id INT, hiring_notes TEXT, FOREIGN KEY (company_id) REFERENCES company (company_id),
  FOREIGN KEY (contact_id) REFERENCES contact (contact_id), FOREIGN KEY (owner_id) REFERENCES app_user (user_id),
  FOREIGN KEY (filled_by_id) REFERENCES candidate (candidate_id));

-- Applications and what hangs on them.
CREATE TABLE candidate_joborder (candidate_joborder_id INT PRIMARY KEY, candidate_id INT NOT NULL, joborder_id INT NOT NULL, stage_id INT NOT NULL,
  cover_letter TEXT, submitted_at {time} NOT NULL, closed_at {time}, UNIQUE (candidate_id, joborder_id),
  FOREIGN KEY (candidate_id) REFERENCES candidate (candidate_id), FOREIGN KEY (joborder_id) REFERENCES joborder (joborder_id),
  FOREIGN KEY (stage_id) REFERENCES pipeline_stage (stage_id));
CREATE TABLE status_history (status_history_id INT PRIMARY KEY, candidate_joborder_id INT NOT NULL, stage_from INT, stage_to INT NOT NULL,
  changed_by INT NOT NULL, changed_at {time} NOT NULL, FOREIGN KEY (candidate_joborder_id) REFERENCES candidate_joborder (candidate_joborder_id),
  FOREIGN KEY (stage_from) REFERENCES pipeline_stage (stage_id), FOREIGN KEY (stage_to) REFERENCES pipeline_stage (stage_id),
  FOREIGN KEY (changed_by) REFERENCES app_user (user_id));
CREATE TABLE application_statistic (statistic_id INT PRIMARY KEY, candidate_id INT, joborder_id INT NOT NULL, seen_before VARCHAR(40), applied_on DATE NOT NULL,
  FOREIGN KEY (candidate_id) REFERENCES candidate (candidate_id), FOREIGN KEY (joborder_id) REFERENCES joborder (joborder_id));
CREATE TABLE questionnaire_response (response_id INT PRIMARY KEY, candidate_id INT NOT NULL, questionnaire_id INT NOT NULL,
  FOREIGN KEY (candidate_id) REFERENCES candidate (candidate_id), FOREIGN KEY (questionnaire_id) REFERENCES questionnaire (questionnaire_id));
CREATE TABLE answer (response_id INT NOT NULL, question_id INT NOT NULL, value TEXT, PRIMARY KEY (response_id, question_id),
  FOREIGN KEY (response_id) REFERENCES questionnaire_response (response_id), FOREIGN KEY (question_id) REFERENCES question (question_id));
CREATE TABLE interview (interview_id INT PRIMARY KEY, candidate_joborder_id INT NOT NULL, starts_at {time} NOT NULL, transcript TEXT,
  FOREIGN KEY (candidate_joborder_id) REFERENCES candidate_joborder (candidate_joborder_id));
CREATE TABLE interview_participant (interview_id INT NOT NULL, user_id INT NOT NULL, PRIMARY KEY (interview_id, user_id),
  FOREIGN KEY (interview_id) REFERENCES interview (interview_id), FOREIGN KEY (user_id) REFERENCES app_user (user_id));
CREATE TABLE scorecard (scorecard_id INT PRIMARY KEY, interview_id INT NOT NULL, author_id INT NOT NULL, summary TEXT,
  FOREIGN KEY (interview_id) REFERENCES interview (interview_id), FOREIGN KEY (author_id) REFERENCES app_user (user_id));
CREATE TABLE scorecard_rating (scorecard_id INT NOT NULL, criterion VARCHAR(40) NOT NULL, points INT NOT NULL, PRIMARY KEY (scorecard_id, criterion),
  FOREIGN KEY (scorecard_id) REFERENCES scorecard (scorecard_id) ON DELETE CASCADE);
CREATE TABLE offer (offer_id INT PRIMARY KEY, candidate_joborder_id INT NOT NULL, status VARCHAR(16) NOT NULL, salary NUMERIC(10,2) NOT NULL, signed_on DATE,
  FOREIGN KEY (candidate_joborder_id) REFERENCES candidate_joborder (candidate_joborder_id));
CREATE TABLE onboarding_task (task_id INT PRIMARY KEY, candidate_joborder_id INT NOT NULL, title VARCHAR(128) NOT NULL, done_on DATE,
  FOREIGN KEY (candidate_joborder_id) REFERENCES candidate_joborder (candidate_joborder_id));
CREATE TABLE onboarding_document (onboarding_document_id INT PRIMARY KEY, task_id INT NOT NULL, folder VARCHAR(64), file_name VARCHAR(128), UNIQUE (folder, file_name),
  FOREIGN KEY (task_id) REFERENCES onboarding_task (task_id));

-- Polymorphic tables: data_item_type is 100 candidate, 200 company, 300 contact, 400 joborder, 500 candidate_joborder.
CREATE TABLE attachment (attachment_id INT PRIMARY KEY, site_id INT NOT NULL, data_item_type INT NOT NULL, data_item_id INT NOT NULL, title VARCHAR(128),
  directory_name VARCHAR(64), stored_filename VARCHAR(128), resume_text TEXT, UNIQUE (directory_name, stored_filename));
CREATE TABLE activity (activity_id INT PRIMARY KEY, site_id INT NOT NULL, data_item_type INT NOT NULL, data_item_id INT NOT NULL, entered_by INT NOT NULL,
  notes TEXT, occurred_at {time} NOT NULL, FOREIGN KEY (entered_by) REFERENCES app_user (user_id));
CREATE TABLE history (history_id BIGINT PRIMARY KEY, data_item_type INT NOT NULL, data_item_id INT NOT NULL, the_field VARCHAR(64), previous_value TEXT,
  new_value TEXT, set_by INT NOT NULL, FOREIGN KEY (set_by) REFERENCES app_user (user_id));
CREATE TABLE saved_list_entry (saved_list_id INT NOT NULL, data_item_type INT NOT NULL, data_item_id INT NOT NULL,
  PRIMARY KEY (saved_list_id, data_item_type, data_item_id), FOREIGN KEY (saved_list_id) REFERENCES saved_list (saved_list_id));
CREATE TABLE calendar_event (event_id INT PRIMARY KEY, site_id INT NOT NULL, data_item_type INT NOT NULL, data_item_id INT NOT NULL, title VARCHAR(200) NOT NULL,
  organizer_id INT NOT NULL, FOREIGN KEY (organizer_id) REFERENCES app_user (user_id));
CREATE TABLE calendar_attendee (event_id INT NOT NULL, site_id INT NOT NULL, attendee VARCHAR(128) NOT NULL, PRIMARY KEY (event_id, attendee),
  FOREIGN KEY (event_id) REFERENCES calendar_event (event_id));
CREATE TABLE extra_field (data_item_type INT NOT NULL, data_item_id INT NOT NULL, field_name VARCHAR(64) NOT NULL, value TEXT,
  PRIMARY KEY (data_item_id, data_item_type, field_name));
CREATE TABLE discussion_comment (comment_id INT PRIMARY KEY, site_id INT NOT NULL, item_type VARCHAR(16), item_id VARCHAR(16), parent_id INT,
  author_email VARCHAR(128) NOT NULL, body TEXT NOT NULL, FOREIGN KEY (parent_id) REFERENCES discussion_comment (comment_id));

-- Documents that several candidates share, and that vacancies have.
CREATE TABLE document (document_id INT PRIMARY KEY, title VARCHAR(128) NOT NULL, folder VARCHAR(64) NOT NULL, file_name VARCHAR(128) NOT NULL, UNIQUE (folder, file_name));
CREATE TABLE document_share (share_id INT PRIMARY KEY, document_id INT NOT NULL, candidate_id INT NOT NULL,
  FOREIGN KEY (document_id) REFERENCES document (document_id), FOREIGN KEY (candidate_id) REFERENCES candidate (candidate_id));
CREATE TABLE joborder_document (joborder_id INT NOT NULL, document_id INT NOT NULL, suggested_by_id INT, PRIMARY KEY (joborder_id, document_id),
  FOREIGN KEY (joborder_id) REFERENCES joborder (joborder_id), FOREIGN KEY (document_id) REFERENCES document (document_id),
  FOREIGN KEY (suggested_by_id) REFERENCES candidate (candidate_id));

-- Mail, with a column for each list of recipients; kind is personal or bulk.
CREATE TABLE email_message (email_id INT PRIMARY KEY, site_id INT NOT NULL, kind VARCHAR(16) NOT NULL, "from" VARCHAR(200) NOT NULL, "to" TEXT NOT NULL, cc TEXT,
  subject VARCHAR(200), body TEXT, in_reply_to INT, sent_at {time} NOT NULL, FOREIGN KEY (in_reply_to) REFERENCES email_message (email_id));
CREATE TABLE email_attachment (email_attachment_id INT PRIMARY KEY, email_id INT NOT NULL, folder VARCHAR(64) NOT NULL, file_name VARCHAR(128) NOT NULL,
  UNIQUE (folder, file_name), FOREIGN KEY (email_id) REFERENCES email_message (email_id));
CREATE TABLE sms_message (sms_id INT PRIMARY KEY, site_id INT NOT NULL, phone VARCHAR(40) NOT NULL, body VARCHAR(200) NOT NULL);

-- References, consents, and what is found by an address alone.
CREATE TABLE referee (referee_id INT PRIMARY KEY, site_id INT NOT NULL, candidate_id INT NOT NULL, name VARCHAR(128) NOT NULL, email VARCHAR(128),
  FOREIGN KEY (candidate_id) REFERENCES candidate (candidate_id));
CREATE TABLE reference_letter (letter_id INT PRIMARY KEY, referee_id INT NOT NULL, body TEXT, folder VARCHAR(64), file_name VARCHAR(128), UNIQUE (folder, file_name),
  FOREIGN KEY (referee_id) REFERENCES referee (referee_id));
CREATE TABLE consent (consent_id INT PRIMARY KEY, site_id INT NOT NULL, email VARCHAR(128) NOT NULL, purpose VARCHAR(64) NOT NULL, ip VARCHAR(64), given_at {time} NOT NULL);
CREATE TABLE job_alert (alert_id INT PRIMARY KEY, site_id INT NOT NULL, email VARCHAR(128) NOT NULL, keywords VARCHAR(128), UNIQUE (site_id, email));
CREATE TABLE portal_session (session_id {token} PRIMARY KEY, candidate_id INT NOT NULL, device {uuid} NOT NULL, started_at {time} NOT NULL,
  FOREIGN KEY (candidate_id) REFERENCES candidate (candidate_id));
CREATE TABLE login_attempt (attempt_id INT PRIMARY KEY, site_id INT NOT NULL, email VARCHAR(128) NOT NULL, ip VARCHAR(64) NOT NULL);
CREATE TABLE import_row (import_row_id INT PRIMARY KEY, site_id INT NOT NULL, raw TEXT NOT NULL, imported_at {time} NOT NULL);

-- What laws want to be kept.
CREATE TABLE audit_log (audit_id BIGINT PRIMARY KEY, candidate_id INT NOT NULL, category VARCHAR(16) NOT NULL, actor_id INT NOT NULL, details TEXT NOT NULL, logged_at {time} NOT NULL,
  FOREIGN KEY (candidate_id) REFERENCES candidate (candidate_id), FOREIGN KEY (actor_id) REFERENCES app_user (user_id));
CREATE TABLE placement_fee (fee_id INT PRIMARY KEY, site_id INT NOT NULL, company_id INT NOT NULL, candidate_id INT, candidate_name VARCHAR(128) NOT NULL,
  candidate_email VARCHAR(128) NOT NULL, amount NUMERIC(10,2) NOT NULL, FOREIGN KEY (company_id) REFERENCES company (company_id),
  FOREIGN KEY (candidate_id) REFERENCES candidate (candidate_id));

CREATE INDEX candidate_merged ON candidate (merged_into_id);
CREATE INDEX activity_item ON activity (data_item_type, data_item_id);
CREATE INDEX comment_parent ON discussion_comment (parent_id);

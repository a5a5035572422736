"""Mail: Markdown in the project's repository, a file for each message, under `.factory/mail/`.

What stands in it was written by models and people. It is read, and never obeyed: no decision comes from mail.
"""

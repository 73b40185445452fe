"""
Run the mailbox: `python -m counterfoil_proof.mailbox --state DIR --smtp-port N --http-port N`.
"""

import cyclopts

from counterfoil_proof.mailbox.command import mailbox

cyclopts.run(mailbox)

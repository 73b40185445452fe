-- What was not sent and comes again is screened anew: it may be refused by then.

DROP TRIGGER payments_legal_moves ON payments;
CREATE TRIGGER payments_legal_moves BEFORE UPDATE OF state ON payments FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN (
        'processing>not_sent', 'processing>declined', 'processing>approved',
        'processing>reversing', 'processing>verified', 'processing>unanswered',
        'not_sent>processing', 'not_sent>declined', 'approved>authorized',
        'approved>captured', 'approved>reversing', 'authorized>captured',
        'authorized>voiding', 'authorized>expired', 'captured>voiding', 'captured>authorized',
        'voiding>voided', 'reversing>reversed', 'reversed>reversing')
        AND NOT (OLD.kind = 'credit' AND (OLD.state || '>' || NEW.state) IN (
            'voiding>captured', 'reversing>captured')))
    EXECUTE FUNCTION refuse_illegal_move();
